//go:build linux

package worker

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"runtime/debug"
	"time"

	"buildrunner.dev/parallel/internal/asker"
	"buildrunner.dev/parallel/internal/supervise"
	pb "buildrunner.dev/parallel/v1"
)

const messageLimit = 256

// Handler is a function that tasks name. It runs on a goroutine of the worker's process, and must return soon
// once its context ends: when the task is cancelled, out of time, or the lease is lost (context.Cause is
// ErrCancelled, ErrTimeout, ErrLeaseLost or ErrStopped). No goroutine can be killed: one that does not return keeps its
// slot and its locks, the task stays CANCELLING, and when the worker's lease is over, the whole process is
// killed. Returning an error, or panicking, fails the task.
//
// A client.Client used with the context asks for locks on the task's behalf.
type Handler func(ctx context.Context, task *Task) (Result, error)

// Why the context of a handler has ended.
var (
	ErrCancelled = errors.New("the task was told to stop")
	ErrTimeout   = errors.New("the task ran for longer than its timeout")
	ErrLeaseLost = errors.New("the worker has lost its lease; another may run the task")
	ErrStopped   = errors.New("the worker stops")
)

var causes = map[string]error{
	supervise.CauseCancel: ErrCancelled, supervise.CauseTimeout: ErrTimeout,
	supervise.CauseLease: ErrLeaseLost, supervise.CauseStop: ErrStopped,
}

// Result is what a task leaves, at most 1 MiB. The zero value is no result.
type Result struct {
	// Data as it is, ContentType its media type.
	Data        []byte
	ContentType string
}

// JSON is a result of type application/json. Use it in place of a return's two values.
func JSON(value any) (Result, error) {
	data, err := json.Marshal(value)
	return Result{data, "application/json"}, err
}

// Text is a result of type text/plain.
func Text(text string) (Result, error) { return Result{[]byte(text), "text/plain; charset=utf-8"}, nil }

// Task is what a handler is given.
type Task struct {
	// SessionID and ID together name the task; names of sessions need not be unique.
	SessionID, SessionName, ID string
	// Attempt counts from 1; Fence is larger than that of any earlier attempt at anything.
	// AttemptID names it in all sessions.
	Attempt   int
	AttemptID string
	Fence     int64
	// Payload is what the submitter gave, ContentType its media type.
	Payload     []byte
	ContentType string
	// Directory is where a command would run. The process itself stays where it is.
	Directory string
	// Environment is what the task itself adds. It is not in os.Environ.
	Environment map[string]string
	// Stdout and Stderr take what is to be shown as the task's output.
	Stdout, Stderr io.Writer

	progress func(percent float64, message string)
}

// Decode reads the payload as JSON.
func (t *Task) Decode(into any) error {
	decoder := json.NewDecoder(bytes.NewReader(t.Payload))
	if err := decoder.Decode(into); err != nil {
		return fmt.Errorf("the payload is not the JSON that is expected: %w", err)
	}
	return nil
}

// Progress shows how far the task is, 0 to 100, with one line of at most 256 bytes. It is cheap: of many in
// quick succession only the last is sent.
func (t *Task) Progress(percent float64, message string) {
	if t.progress != nil {
		t.progress(min(100, max(0, percent)), cut(message, messageLimit))
	}
}

// writer puts what a handler writes into the output of its task.
type writer struct {
	worker  *Worker
	attempt *attempt
	channel pb.OutputChannel
}

func (o writer) Write(data []byte) (int, error) {
	isOver := false
	o.worker.lock(func() {
		isOver = o.attempt.state == over
		o.worker.book.onOutput(o.attempt, o.channel, data)
	})
	if isOver {
		return 0, errors.New("the task is over")
	}
	o.worker.wakeOutput()
	return len(data), nil
}

// startHandler runs a handler on a goroutine of its own. Called with the lock held.
func (w *Worker) startHandler(a *attempt) {
	if w.lease.State() != supervise.Valid {
		w.book.onNoLease(a)
		return
	}
	work := a.GetSpec().GetHandler()
	handler := w.handlers[work.GetName()]
	if handler == nil {
		w.book.finish(a, a.notStarted(fmt.Sprintf("this worker has no handler %q", work.GetName()), false))
		return
	}
	env := maps.Clone(a.GetSpec().GetPassedEnvironment())
	if env == nil {
		env = map[string]string{}
	}
	maps.Copy(env, a.GetSpec().GetEnvironment())
	a.task = &Task{
		SessionID: a.SessionId, SessionName: a.SessionName, ID: a.GetSpec().GetTaskId(),
		Attempt: int(a.Number), AttemptID: a.AttemptId, Fence: a.Fence,
		Payload: work.GetPayload().GetData(), ContentType: work.GetPayload().GetContentType(),
		Directory:   workingDirectory(a.GetSpec().GetDirectory(), w.options.Directory),
		Environment: env,
		Stdout:      writer{w, a, pb.OutputChannel_OUTPUT_CHANNEL_STDOUT},
		Stderr:      writer{w, a, pb.OutputChannel_OUTPUT_CHANNEL_STDERR},
		progress:    func(percent float64, message string) { w.onProgress(a, percent, message) },
	}
	ctx := asker.In(context.Background(), asker.Asker{SessionID: a.SessionId, AttemptID: a.AttemptId, Fence: a.Fence})
	ctx, a.cancel = context.WithCancelCause(ctx)
	if w.runningHandlers++; w.runningHandlers == 1 {
		_ = w.supervisor.Send(supervise.Request{Handlers: &supervise.Handlers{Running: true}})
	}
	w.book.onStarted(a, os.Getpid(), time.Now().UnixMicro())
	if limit := a.timeout(); limit > 0 {
		time.AfterFunc(limit, func() {
			w.lock(func() { w.stopHandler(a, supervise.CauseTimeout, a.grace()) })
		})
	}
	go w.handle(ctx, a, handler)
}

func (w *Worker) handle(ctx context.Context, a *attempt, handler Handler) {
	result, err := call(ctx, a.task, handler)
	w.lock(func() {
		if w.runningHandlers--; w.runningHandlers == 0 {
			_ = w.supervisor.Send(supervise.Request{Handlers: &supervise.Handlers{Running: false}})
		}
		a.cancel(nil)
		w.book.finish(a, a.handledReport(result, err))
	})
	w.wakeOutput()
}

// call turns a panic into an error, and shows where it came from.
func call(ctx context.Context, task *Task, handler Handler) (result Result, err error) {
	defer func() {
		if what := recover(); what != nil {
			fmt.Fprintf(task.Stderr, "panic: %v\n\n%s", what, debug.Stack())
			err = fmt.Errorf("panic: %v", what)
		}
	}()
	return handler(ctx, task)
}

func (w *Worker) onProgress(a *attempt, percent float64, message string) {
	w.lock(func() {
		if a.state == running && !a.disowned {
			w.book.outgoing.progress[a.AttemptId] = &pb.TaskProgress{
				AttemptId: a.AttemptId, Fence: a.Fence, Percent: percent, Message: message,
			}
		}
	})
}

// stopHandler asks a handler to end. Called with the lock held.
func (w *Worker) stopHandler(a *attempt, cause string, grace time.Duration) {
	if a.state != handed && a.state != running || a.cause != "" {
		return
	}
	a.cause = cause
	a.cancel(causes[cause])
	time.AfterFunc(grace, func() {
		w.lock(func() {
			if a.state == running {
				w.log.Warn("a handler does not heed its context and goes on",
					"handler", a.GetSpec().GetHandler().GetName(), "task", a.GetSpec().GetTaskId(), "cause", cause)
			}
		})
	})
}

func (w *Worker) stopHandlers(cause string) {
	for _, a := range w.book.attempts {
		if a.isHandler() {
			w.stopHandler(a, cause, a.grace())
		}
	}
}
