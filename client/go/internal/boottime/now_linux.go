package boottime

import "golang.org/x/sys/unix"

// Now is the present moment.
func Now() Moment {
	var at unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &at); err != nil {
		panic("clock_gettime(CLOCK_BOOTTIME): " + err.Error())
	}
	return Moment(at.Nano())
}
