//go:build linux

package supervise

import (
	"maps"
	"os"
	"slices"
	"syscall"
	"time"
)

const leftoverGrace = 500 * time.Millisecond

// run is a started process with all that belongs to it, until nothing of it is left.
type run struct {
	request *Run
	pid     int
	started time.Time

	timeoutAt, killAt, checkAt time.Time
	cause                      string
	stopping, exited           bool
	// Once the group is empty its number may be given to another: it is never asked or signalled again.
	groupGone bool
	status    syscall.WaitStatus
	usage     syscall.Rusage
	ended     time.Time
	// orphans have lost their parent and left the group; told were sent SIGTERM one by one.
	orphans, told map[int]bool
}

// endings watches over every run from its start until its main process has exited and no process of it is
// left: exits, timeouts, cancels, and what comes between SIGTERM and SIGKILL.
type endings struct {
	over  func(*run)
	byPid map[int]*run
	open  map[*run]bool
	due   time.Time

	// Inherited processes with the run that they belong to. One that hid its group and its mark belongs to
	// all that ran when it was first seen, and goes to the last of them.
	known    map[int]*run
	suspects map[int]map[*run]bool
}

func newEndings(over func(*run)) *endings {
	return &endings{
		over: over, byPid: map[int]*run{}, open: map[*run]bool{},
		known: map[int]*run{}, suspects: map[int]map[*run]bool{},
	}
}

func (e *endings) runs() []*run { return slices.Collect(maps.Keys(e.open)) }

func (e *endings) add(one *run) {
	e.byPid[one.pid] = one
	e.open[one] = true
	if one.request.Timeout > 0 {
		one.timeoutAt = one.started.Add(one.request.Timeout)
		e.wakeAt(one.timeoutAt)
	}
}

func (e *endings) wakeAt(at time.Time) {
	if e.due.IsZero() || at.Before(e.due) {
		e.due = at
	}
}

// reap collects every exit there is, then judges what is left of the runs concerned.
func (e *endings) reap() {
	var exited []*run
	others := true
	for {
		var status syscall.WaitStatus
		var usage syscall.Rusage
		pid, err := syscall.Wait4(-1, &status, syscall.WNOHANG, &usage)
		if err == syscall.EINTR {
			continue
		}
		if err != nil || pid <= 0 {
			others = err == nil
			break
		}
		one := e.byPid[pid]
		if one == nil {
			e.reaped(pid)
			continue
		}
		delete(e.byPid, pid)
		one.exited, one.status, one.usage, one.ended = true, status, usage, time.Now()
		exited = append(exited, one)
	}
	if others && (len(exited) > 0 || len(e.open) > len(e.byPid)) {
		e.lookForOrphans()
	}
	for _, one := range exited {
		e.handOverUnowned(one)
	}
	for one := range e.open {
		if one.exited {
			e.judge(one)
		}
	}
}

func (e *endings) judge(one *run) {
	one.groupGone = one.groupGone || !groupExists(one.pid)
	if one.groupGone && len(one.orphans) == 0 {
		delete(e.open, one)
		e.over(one)
		return
	}
	now := time.Now()
	if !one.stopping {
		one.stopping = true
		one.killAt = now.Add(min(one.request.Grace, leftoverGrace))
		e.signal(one, syscall.SIGTERM)
	}
	e.tellOrphans(one)
	one.checkAt = now.Add(checkInterval)
	e.wakeAt(one.checkAt)
	e.wakeAt(one.killAt)
}

// stop sends SIGTERM now, and SIGKILL after the grace. A second call can only bring the SIGKILL forward.
func (e *endings) stop(one *run, cause string, grace time.Duration) {
	killAt := time.Now().Add(grace)
	if !one.stopping {
		one.stopping, one.killAt = true, killAt
		if one.cause == "" && !one.exited {
			one.cause = cause
		}
		e.signal(one, syscall.SIGTERM)
	}
	if killAt.Before(one.killAt) {
		one.killAt = killAt
	}
	e.wakeAt(one.killAt)
}

// tellOrphans sends SIGTERM to those found after the run was told to stop: it went to the group only.
func (e *endings) tellOrphans(one *run) {
	for _, pid := range treeOf(slices.Collect(maps.Keys(one.orphans))) {
		if !one.told[pid] {
			one.told[pid] = true
			_ = syscall.Kill(pid, syscall.SIGTERM)
		}
	}
}

// signal reaches the group, what is known to have left it, and on SIGKILL the whole tree below.
func (e *endings) signal(one *run, number syscall.Signal) {
	roots := slices.Collect(maps.Keys(one.orphans))
	if number == syscall.SIGKILL && !one.exited {
		roots = append(roots, one.pid)
	}
	strays := treeOf(roots)
	if !one.groupGone {
		signalGroup(one.pid, number)
	}
	for _, pid := range strays {
		one.told[pid] = true
		_ = syscall.Kill(pid, number)
	}
}

// onTime does what is due: timeouts, kills after the grace, another look at leftovers.
func (e *endings) onTime(now time.Time) {
	if e.due.IsZero() || now.Before(e.due) {
		return
	}
	e.due = time.Time{}
	look := false
	for one := range e.open {
		if isDue(one.timeoutAt, now) && !one.stopping {
			e.stop(one, CauseTimeout, one.request.Grace)
		}
		if isDue(one.killAt, now) {
			e.signal(one, syscall.SIGKILL)
			one.killAt = now.Add(checkInterval)
		}
		look = look || one.exited
		times := []time.Time{one.killAt, one.checkAt}
		if !one.stopping {
			times = append(times, one.timeoutAt)
		}
		for _, at := range times {
			if !at.IsZero() {
				e.wakeAt(at)
			}
		}
	}
	if look {
		e.reap()
	}
}

func isDue(at, now time.Time) bool { return !at.IsZero() && !now.Before(at) }

func (e *endings) lookForOrphans() {
	for _, pid := range childrenOf(os.Getpid()) {
		_, isKnown := e.known[pid]
		if e.byPid[pid] == nil && !isKnown {
			e.enter(pid)
		}
	}
}

func (e *endings) enter(pid int) {
	owner := e.ownerOf(pid)
	if owner == nil && len(e.open) == 1 {
		owner = e.runs()[0]
	}
	e.known[pid] = owner
	if owner != nil {
		owner.orphans[pid] = true
		return
	}
	e.suspects[pid] = maps.Clone(e.open)
}

func (e *endings) ownerOf(pid int) *run {
	stat, ok := statOf(pid)
	if !ok {
		return nil
	}
	for one := range e.open {
		if one.pid == stat.group || one.pid == stat.session {
			return one
		}
	}
	for one := range e.open {
		if isMarked(pid, one.request.Mark) {
			return one
		}
	}
	return nil
}

func (e *endings) reaped(pid int) {
	if owner := e.known[pid]; owner != nil {
		delete(owner.orphans, pid)
	}
	delete(e.known, pid)
	delete(e.suspects, pid)
}

// handOverUnowned gives to a run that ends the orphans that can belong to no other run any more.
func (e *endings) handOverUnowned(ending *run) {
	for pid, suspects := range e.suspects {
		delete(suspects, ending)
		if len(suspects) == 0 {
			delete(e.suspects, pid)
			e.known[pid] = ending
			ending.orphans[pid] = true
		}
	}
}
