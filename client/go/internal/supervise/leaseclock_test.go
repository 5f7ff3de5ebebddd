//go:build linux

package supervise

import (
	"testing"
	"time"

	"buildrunner.dev/parallel/internal/boottime"
)

func clockAt(now *boottime.Moment, free *bool) *LeaseClock {
	return &LeaseClock{
		now:    func() boottime.Moment { return *now },
		isFree: func(string) bool { return *free },
	}
}

func TestWithoutALeaseNothingIsEverDue(t *testing.T) {
	clock := NewLeaseClock()
	if _, ok := clock.Wait(); ok || clock.State() != Valid {
		t.Error("something is due")
	}
}

func TestALeaseRunsOutInTwoSteps(t *testing.T) {
	now, free := boottime.Moment(0).Add(time.Hour), false
	clock := clockAt(&now, &free)
	clock.Renew(Lease{StopAt: now.Add(28 * time.Second), KillAt: now.Add(36 * time.Second)})
	for _, step := range []struct {
		after time.Duration
		want  LeaseState
	}{{27 * time.Second, Valid}, {time.Second, Terminate}, {7 * time.Second, Terminate}, {time.Second, Kill}} {
		now = now.Add(step.after)
		if got := clock.State(); got != step.want {
			t.Errorf("at %s: %v, not %v", time.Duration(now), got, step.want)
		}
	}
}

func TestALeaseStandsStillWhileNobodyHoldsTheLockFile(t *testing.T) {
	now, free := boottime.Moment(0).Add(time.Hour), true
	clock := clockAt(&now, &free)
	clock.Renew(Lease{StopAt: now.Add(28 * time.Second), KillAt: now.Add(36 * time.Second), LockFile: "lock"})
	for range 600 {
		now = now.Add(500 * time.Millisecond)
		if clock.State() != Valid {
			t.Fatalf("over after %s", time.Duration(now)-time.Hour)
		}
	}
	free = false
	for range 80 {
		now = now.Add(500 * time.Millisecond)
		clock.State()
	}
	if clock.State() != Kill {
		t.Error("it stands still although the lock file is held")
	}
}

func TestALongGapCountsAsLittle(t *testing.T) {
	now, free := boottime.Moment(0).Add(time.Hour), true
	clock := clockAt(&now, &free)
	clock.Renew(Lease{StopAt: now.Add(28 * time.Second), KillAt: now.Add(36 * time.Second), LockFile: "lock"})
	now = now.Add(10 * time.Minute)
	if clock.State() != Kill {
		t.Error("who held the lock file in ten minutes nobody knows")
	}
}
