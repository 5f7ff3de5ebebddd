//go:build linux

package supervise

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// childrenOf gives the direct children of a process, those of all its threads.
func childrenOf(pid int) []int {
	var found []int
	threads, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
	if err != nil {
		return nil
	}
	for _, thread := range threads {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%s/children", pid, thread.Name()))
		if err != nil {
			if _, err := os.Stat(fmt.Sprintf("/proc/%d/task/%s", pid, thread.Name())); err == nil {
				return childrenByScan(pid)
			}
			continue
		}
		for _, word := range strings.Fields(string(text)) {
			if child, err := strconv.Atoi(word); err == nil {
				found = append(found, child)
			}
		}
	}
	return found
}

// childrenByScan is for kernels built without the `children` file.
func childrenByScan(parent int) []int {
	var found []int
	for _, pid := range allPids() {
		if stat, ok := statOf(pid); ok && stat.parent == parent {
			found = append(found, pid)
		}
	}
	return found
}

func allPids() []int {
	entries, _ := os.ReadDir("/proc")
	var found []int
	for _, entry := range entries {
		if pid, err := strconv.Atoi(entry.Name()); err == nil {
			found = append(found, pid)
		}
	}
	return found
}

type procStat struct {
	state                  string
	parent, group, session int
}

func statOf(pid int) (procStat, bool) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return procStat{}, false
	}
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
	if len(fields) < 4 {
		return procStat{}, false
	}
	number := func(i int) int { n, _ := strconv.Atoi(fields[i]); return n }
	return procStat{fields[0], number(1), number(2), number(3)}, true
}

// isMarked: the process was started with this NAME=value in its environment.
func isMarked(pid int, mark string) bool {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
	if err != nil {
		return false
	}
	return strings.HasPrefix(string(text), mark+"\x00") || strings.Contains(string(text), "\x00"+mark+"\x00")
}

// treeOf gives the roots and everything below them, parents first.
func treeOf(roots []int) []int {
	var order []int
	seen := map[int]bool{}
	for pending := roots; len(pending) > 0; {
		pid := pending[0]
		pending = pending[1:]
		if !seen[pid] {
			seen[pid] = true
			order = append(order, pid)
			pending = append(pending, childrenOf(pid)...)
		}
	}
	return order
}

// signalGroup wakes the group too when it is to end in an orderly way.
func signalGroup(group int, number syscall.Signal) {
	if syscall.Kill(-group, number) == nil && number == syscall.SIGTERM {
		_ = syscall.Kill(-group, syscall.SIGCONT)
	}
}

// groupExists: any process, zombies included, is in the group.
func groupExists(group int) bool { return syscall.Kill(-group, 0) != syscall.ESRCH }

const (
	markedLimit    = 3 * time.Second
	markedSettle   = 500 * time.Millisecond
	markedInterval = 20 * time.Millisecond
)

// KillMarked kills every other process whose environment has the entry `mark`, and looks again until none is
// left: the last resort when a supervisor is gone. It finds what kept its environment.
func KillMarked(mark string) {
	began := time.Now()
	for time.Since(began) < markedLimit {
		found := 0
		for _, pid := range allPids() {
			if pid != os.Getpid() && isMarked(pid, mark) && killIfMarked(pid, mark) {
				found++
			}
		}
		if found == 0 && time.Since(began) > markedSettle {
			return
		}
		time.Sleep(markedInterval)
	}
}

// killIfMarked goes through a descriptor of the process, so that a reused number is never hit.
func killIfMarked(pid int, mark string) bool {
	handle, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return false
	}
	defer unix.Close(handle)
	return isMarked(pid, mark) && unix.PidfdSendSignal(handle, unix.SIGKILL, nil, 0) == nil
}
