//go:build linux

package supervise

import (
	"os"
	"time"

	"golang.org/x/sys/unix"

	"buildrunner.dev/parallel/internal/boottime"
)

// LeaseState is what the lease allows at a moment.
type LeaseState int

const (
	// Valid: go on.
	Valid LeaseState = iota
	// Terminate: all must have been asked to end.
	Terminate
	// Kill: all must be dead.
	Kill
)

const (
	probeInterval   = 500 * time.Millisecond
	probeAfterShare = 0.4
)

// LeaseClock knows until when a worker may act. Without a lease nothing is ever due. On the coordinator's own
// host it stands still while nobody holds the coordinator's lock file: then nobody can give the work away.
type LeaseClock struct {
	lease     Lease
	interval  time.Duration
	nextProbe boottime.Moment
	lastProbe boottime.Moment
	now       func() boottime.Moment
	isFree    func(lockFile string) bool
}

// NewLeaseClock has no lease yet.
func NewLeaseClock() *LeaseClock { return &LeaseClock{now: boottime.Now, isFree: nobodyHolds} }

// Renew sets both deadlines.
func (c *LeaseClock) Renew(lease Lease) {
	now := c.now()
	left := max(lease.StopAt.Sub(now), 0)
	c.lease = lease
	c.interval = max(time.Millisecond, min(probeInterval, left/10))
	c.lastProbe = now.Add(time.Duration(float64(left) * probeAfterShare))
	c.nextProbe = c.lastProbe.Add(c.interval)
}

// State is as of now.
func (c *LeaseClock) State() LeaseState {
	if c.lease.KillAt == 0 {
		return Valid
	}
	now := c.now()
	if c.lease.LockFile != "" && now >= c.nextProbe {
		c.extendIfFree(now)
	}
	switch {
	case now >= c.lease.KillAt:
		return Kill
	case now >= c.lease.StopAt:
		return Terminate
	}
	return Valid
}

// extendIfFree adds the time since the last look, at most that of two: who held it in a long gap nobody knows.
func (c *LeaseClock) extendIfFree(now boottime.Moment) {
	if c.isFree(c.lease.LockFile) {
		passed := min(now.Sub(c.lastProbe), 2*c.interval)
		c.lease.StopAt = c.lease.StopAt.Add(passed)
		c.lease.KillAt = c.lease.KillAt.Add(passed)
	}
	c.lastProbe, c.nextProbe = now, now.Add(c.interval)
}

// Wait is how long until State should be asked again; false when there is no lease.
func (c *LeaseClock) Wait() (time.Duration, bool) {
	if c.lease.KillAt == 0 {
		return 0, false
	}
	now := c.now()
	due := c.lease.KillAt
	if now < c.lease.StopAt {
		due = c.lease.StopAt
	}
	if c.lease.LockFile != "" {
		due = min(due, c.nextProbe)
	}
	return max(due.Sub(now), 0), true
}

// nobodyHolds: the coordinator's lock file is free, or gone.
func nobodyHolds(path string) bool {
	file, err := os.Open(path)
	if err != nil {
		return true
	}
	defer file.Close()
	return unix.Flock(int(file.Fd()), unix.LOCK_SH|unix.LOCK_NB) == nil
}
