//go:build linux

// Package supervise starts, watches and ends the processes of one worker's commands, from a process of its
// own: the worker's program, started again as "br-worker-supervisor". It inherits what loses its parent, keeps
// the lease even while the worker is stopped, and when the worker ends, however that is, everything that it
// started ends.
//
// Client is the worker's end; supervisor.go is the other. In between is a socket of packets, one message each.
package supervise

import (
	"bytes"
	"encoding/gob"
	"time"

	"buildrunner.dev/parallel/internal/boottime"
)

// Causes for which a run was stopped.
const (
	CauseTimeout = "timeout"
	CauseCancel  = "cancel"
	CauseLease   = "lease"
	CauseStop    = "stop"
)

// Request goes to the supervisor. Exactly one part is set.
type Request struct {
	Configure *Configure
	Lease     *Lease
	Run       *Run
	Stop      *Stop
	Handlers  *Handlers
	Quit      *Quit
}

// Configure comes first: a folder to remove at the end.
type Configure struct{ Scratch string }

// Lease says until when the worker may act. While nobody holds the lock file, if there is one, time stands
// still.
type Lease struct {
	StopAt, KillAt boottime.Moment
	LockFile       string
}

// Run starts a process. Its standard output and error come with the message as descriptors.
type Run struct {
	Key            string
	Argv           []string
	Dir            string
	Env            []string
	Timeout, Grace time.Duration
	// Mark is an entry of Env that no other run has.
	Mark string
}

// Stop: SIGTERM now, SIGKILL after the grace.
type Stop struct {
	Key   string
	Grace time.Duration
	Cause string
}

// Handlers says whether user code runs in the worker's own process, which must be dead when the lease is over.
type Handlers struct{ Running bool }

// Quit stops everything; the supervisor ends when nothing is left.
type Quit struct{ Grace time.Duration }

// Event comes from the supervisor. Exactly one part is set.
type Event struct {
	Started *Started
	Refused *Refused
	Ended   *Ended
	// LeaseOver: the worker must stop what it runs itself.
	LeaseOver bool
}

// Started: the process runs.
type Started struct {
	Key         string
	Pid         int
	StartedAtUs int64
}

// Refused: no process came to be. WorkerFault: for no fault of the task's. NoLease: it may be tried again once
// there is a lease.
type Refused struct {
	Key                  string
	Message              string
	WorkerFault, NoLease bool
}

// Ended: the process has exited and nothing that it started is left.
type Ended struct {
	Key              string
	ExitCode, Signal int
	Cause            string
	EndedAtUs        int64
	UserUs, SystemUs int64
	MaxRSSBytes      int64
}

const packetBytes = 1 << 20

func encode(message any) ([]byte, error) {
	var data bytes.Buffer
	err := gob.NewEncoder(&data).Encode(message)
	return data.Bytes(), err
}

func decode(data []byte, message any) error {
	return gob.NewDecoder(bytes.NewReader(data)).Decode(message)
}
