//go:build linux

package worker

import (
	"context"
	"time"

	"buildrunner.dev/parallel/internal/supervise"
	pb "buildrunner.dev/parallel/v1"
)

type state int

const (
	// waiting here, handed to the supervisor, running, over (its report may wait for its output).
	waiting state = iota
	handed
	running
	over
)

const defaultGrace = 10 * time.Second

// attempt is one run of a task in this worker's hands, from its assignment until its report is acknowledged.
type attempt struct {
	*pb.Assignment
	state     state
	weight    int
	slots     []int
	pid       int
	startedUs int64
	output    *outputBuffer
	report    *pb.TaskReport
	sentAt    time.Time

	// Why it was stopped (see supervise), and what the coordinator wants to hear of that.
	cause         string
	cancelOutcome pb.Outcome
	cancelReason  string
	// revokeAsked: the coordinator waits for an answer. disowned: stop it, and report nothing.
	revokeAsked, disowned bool

	// Of a command: closed once both its pipes were read to their end.
	pipes *pipes
	// Of a handler.
	cancel context.CancelCauseFunc
	task   *Task
}

func (a *attempt) isHandler() bool { return a.GetSpec().GetHandler() != nil }

func (a *attempt) grace() time.Duration {
	if a.GetSpec().GraceMs != nil {
		return time.Duration(a.Spec.GetGraceMs()) * time.Millisecond
	}
	return defaultGrace
}

func (a *attempt) timeout() time.Duration {
	return time.Duration(a.GetSpec().GetTimeoutMs()) * time.Millisecond
}

// held is how hello and heartbeats name it.
func (a *attempt) held() *pb.HeldAttempt {
	return &pb.HeldAttempt{
		AttemptId: a.AttemptId, Fence: a.Fence, Started: a.startedUs != 0, Ended: a.state == over,
		Pid: int32(a.pid), StartedAtUs: a.startedUs,
	}
}

func (a *attempt) started() *pb.TaskStarted {
	return &pb.TaskStarted{
		AttemptId: a.AttemptId, Fence: a.Fence, Pid: int32(a.pid), StartedAtUs: a.startedUs, Slot: a.slot(),
	}
}

func (a *attempt) slot() int32 {
	if len(a.slots) == 0 {
		return 0
	}
	return int32(a.slots[0])
}

// outcomeOf is what a stop for this cause makes of the attempt.
func (a *attempt) outcomeOf(cause string) pb.Outcome {
	switch cause {
	case supervise.CauseTimeout:
		return pb.Outcome_OUTCOME_TIMED_OUT
	case supervise.CauseLease:
		return pb.Outcome_OUTCOME_LOST
	case supervise.CauseStop:
		return pb.Outcome_OUTCOME_REVOKED
	}
	if a.cancelOutcome != pb.Outcome_OUTCOME_UNSPECIFIED {
		return a.cancelOutcome
	}
	return pb.Outcome_OUTCOME_CANCELLED
}
