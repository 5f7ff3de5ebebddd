// Package boottime is a clock that goes on while the machine sleeps, as leases need it.
package boottime

import "time"

// Moment is a point of time on this machine since its boot.
type Moment time.Duration

// Add gives the moment d later.
func (m Moment) Add(d time.Duration) Moment { return m + Moment(d) }

// Sub gives the time from other to m.
func (m Moment) Sub(other Moment) time.Duration { return time.Duration(m - other) }

// Until gives the time from now to m.
func (m Moment) Until() time.Duration { return m.Sub(Now()) }
