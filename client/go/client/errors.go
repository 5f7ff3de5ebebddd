package client

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pb "buildrunner.dev/parallel/v1"
)

const errorDomain = "parallel.buildrunner.dev"

// CallError is what every error of a call has in common. Each of the types below is one too, for errors.As:
//
//	var conflict *client.ConflictError
//	if errors.As(err, &conflict) { ... conflict.Conflicts ... }
type CallError struct {
	// Code is that of gRPC.
	Code codes.Code
	// Reason is UPPER_SNAKE, for programs; empty where the coordinator gave none.
	Reason string
	// Message says what was wrong and what to do next, for people.
	Message string
	// RetryAfter is set where trying again helps.
	RetryAfter time.Duration

	cause error
}

func (e *CallError) Error() string { return e.Message }

// Unwrap gives the error of gRPC or of the context, where there is one.
func (e *CallError) Unwrap() error { return e.cause }

// InvalidError: the request is malformed, or asks for what cannot be, such as a circle of needs.
type InvalidError struct{ CallError }

// NotFoundError: there is no such session, task, worker or lock. Candidates has the ids that an ambiguous
// prefix fits.
type NotFoundError struct {
	CallError
	// Candidates are ids that an ambiguous prefix fits.
	Candidates []string
}

// ConflictError: paths are held by others; there is an entry for each clash.
type ConflictError struct {
	CallError
	// Conflicts has one for each clash.
	Conflicts []*pb.LockConflict
}

// DeadlockError: waiting for these paths would close a circle. It is a *ConflictError too.
type DeadlockError struct{ ConflictError }

// WrongStateError: the session, task or worker is not in a state that allows this.
type WrongStateError struct{ CallError }

// LimitError: too large, too many, or too fast.
type LimitError struct{ CallError }

// StaleError: the fence is not, or no more, that of the attempt or grant.
type StaleError struct{ CallError }

// LockLostError: what a Grant held went away while it was needed. It is a *StaleError too.
type LockLostError struct {
	StaleError
	// GrantID is the grant that was lost.
	GrantID string
}

// ExistsError: a task of that id is there already, or the request id was used for something else.
type ExistsError struct{ CallError }

// UnauthenticatedError: no valid token was presented.
type UnauthenticatedError struct{ CallError }

// UnavailableError: no coordinator answers, or none was ever started here (reason NO_STATE), or it takes no
// new work at present (reason DRAINING).
type UnavailableError struct {
	CallError
	// Address is where nobody answered.
	Address string
}

// UnsupportedError: this coordinator does not serve the call.
type UnsupportedError struct{ CallError }

// TimeoutError: the deadline of the caller's own context ran out. errors.Is finds
// context.DeadlineExceeded in it.
type TimeoutError struct{ CallError }

// InternalError: a fault of the coordinator's.
type InternalError struct{ CallError }

// Each type leads to what it is a kind of.

func (e *InvalidError) Unwrap() error         { return &e.CallError }
func (e *NotFoundError) Unwrap() error        { return &e.CallError }
func (e *ConflictError) Unwrap() error        { return &e.CallError }
func (e *DeadlockError) Unwrap() error        { return &e.ConflictError }
func (e *WrongStateError) Unwrap() error      { return &e.CallError }
func (e *LimitError) Unwrap() error           { return &e.CallError }
func (e *StaleError) Unwrap() error           { return &e.CallError }
func (e *LockLostError) Unwrap() error        { return &e.StaleError }
func (e *ExistsError) Unwrap() error          { return &e.CallError }
func (e *UnauthenticatedError) Unwrap() error { return &e.CallError }
func (e *UnavailableError) Unwrap() error     { return &e.CallError }
func (e *UnsupportedError) Unwrap() error     { return &e.CallError }
func (e *TimeoutError) Unwrap() error         { return &e.CallError }
func (e *InternalError) Unwrap() error        { return &e.CallError }

// details is what stands in the status of an error of gRPC.
type details struct {
	code       codes.Code
	reason     string
	text       string
	metadata   map[string]string
	retryAfter time.Duration
	conflicts  []*pb.LockConflict
}

func readDetails(err error) details {
	found := status.Convert(err)
	d := details{code: found.Code(), text: found.Message()}
	for _, detail := range found.Details() {
		switch one := detail.(type) {
		case *errdetails.ErrorInfo:
			if one.GetDomain() == "" || one.GetDomain() == errorDomain {
				d.reason, d.metadata = one.GetReason(), one.GetMetadata()
			}
		case *errdetails.RetryInfo:
			d.retryAfter = one.GetRetryDelay().AsDuration()
		case *pb.LockConflict:
			d.conflicts = append(d.conflicts, one)
		}
	}
	return d
}

// fromStatus makes the error of this package from one of gRPC: by its reason where there is one, else by its
// code.
func fromStatus(err error, address string) error {
	d := readDetails(err)
	base := CallError{Code: d.code, Reason: d.reason, Message: d.text, RetryAfter: d.retryAfter, cause: err}
	if base.Message == "" {
		base.Message = "the coordinator answered " + d.code.String()
	}
	switch d.reason {
	case "LOCK_CONFLICT":
		return &ConflictError{base, d.conflicts}
	case "DEADLOCK":
		return &DeadlockError{ConflictError{base, d.conflicts}}
	case "AMBIGUOUS_ID":
		return &NotFoundError{base, splitList(d.metadata["candidates"])}
	case "SESSION_CLOSED", "WRONG_STATE":
		return &WrongStateError{base}
	case "STALE":
		return &StaleError{base}
	}
	return byCode(base, address)
}

func byCode(base CallError, address string) error {
	switch base.Code {
	case codes.InvalidArgument, codes.OutOfRange:
		return &InvalidError{base}
	case codes.NotFound:
		return &NotFoundError{CallError: base}
	case codes.FailedPrecondition:
		return &WrongStateError{base}
	case codes.AlreadyExists:
		return &ExistsError{base}
	case codes.ResourceExhausted:
		return &LimitError{base}
	case codes.Aborted:
		return &base
	case codes.Unauthenticated, codes.PermissionDenied:
		return &UnauthenticatedError{base}
	case codes.Unimplemented:
		return &UnsupportedError{base}
	case codes.Unavailable:
		if base.Reason == "" {
			base.Message = fmt.Sprintf("the coordinator at %s cannot be reached (%s); see whether it runs "+
				"(any `br parallel` command starts the local one), then try again", address, base.Message)
		}
		return &UnavailableError{base, address}
	case codes.DeadlineExceeded:
		base.Message = fmt.Sprintf("the coordinator at %s did not answer in time; see whether its machine is "+
			"overloaded, then try again", address)
		return &UnavailableError{base, address}
	default:
		return &InternalError{base}
	}
}

// ofContext is the error of a call that ended because the caller's context did.
func ofContext(ctx context.Context, what string) error {
	cause := context.Cause(ctx)
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return &TimeoutError{CallError{
			Code: codes.DeadlineExceeded, Reason: "TIMEOUT", cause: ctx.Err(),
			Message: what + " took longer than the caller's deadline allows",
		}}
	}
	return fmt.Errorf("%s: %w", what, cause)
}

func invalid(format string, arguments ...any) error {
	return &InvalidError{CallError{
		Code: codes.InvalidArgument, Reason: "INVALID", Message: fmt.Sprintf(format, arguments...),
	}}
}

func splitList(text string) []string {
	if text == "" {
		return nil
	}
	return strings.Split(text, ",")
}
