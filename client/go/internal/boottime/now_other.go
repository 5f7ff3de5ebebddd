//go:build !linux

package boottime

import "time"

var began = time.Now()

// Now is the present moment. Where there is no clock that counts sleep, it is the monotonic one.
func Now() Moment { return Moment(time.Since(began)) }
