//go:build linux

// Package worker runs tasks of a coordinator of BuildRunner parallel: commands, and functions of your own.
//
//	c, err := client.New()
//	w := worker.New(c, worker.Options{Slots: 4})
//	w.Handle("resize", func(ctx context.Context, task *worker.Task) (worker.Result, error) {
//		task.Progress(50, "half of it")
//		return worker.JSON(map[string]int{"bytes": len(task.Payload)})
//	})
//	err = w.RunUntilSignal(context.Background())
//
// Commands are started and watched by a process of their own, the same program started again as
// "br-worker-supervisor": it stops what a task has started, whatever group or session that moved to, and it
// ends everything when the worker ends, however that is. Handlers run in the worker's process; see Handler.
//
// A worker outlives its coordinator: what runs goes on, and is reported when the coordinator is back. It does
// not make worktrees of a task's own, and does not audit what a task has changed.
package worker

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"buildrunner.dev/parallel/client"
	"buildrunner.dev/parallel/internal/supervise"
	pb "buildrunner.dev/parallel/v1"
)

// Version of this worker, as the coordinator shows it.
const Version = "0.1.0"

const (
	defaultDrain  = 30 * time.Second
	stopGrace     = 2 * time.Second
	stopLimit     = 6 * time.Second
	houseInterval = 100 * time.Millisecond
	defaultRepeat = 5 * time.Second
	drainCall     = 5 * time.Second
)

// Options of a worker; the zero value runs one command at a time for every session.
type Options struct {
	// Slots is how many tasks of one slot run at a time; 0 means 1.
	Slots int
	// Labels that tasks may require.
	Labels []string
	// SessionID: serve this session alone, and leave at its end.
	SessionID string
	// NoCommands: take tasks for handlers only.
	NoCommands bool
	// Directory is where tasks run that do not say where; empty: the current one.
	Directory string
	// PassEnv has patterns of variables that commands see of the worker's own, beyond those that every task
	// sees (PATH, HOME, LANG and the like). Tokens are never passed on.
	PassEnv []string
	// Metadata is a JSON object shown with the worker.
	Metadata string
	// DrainLimit is how long running tasks may take once the worker is to leave; 0 means 30 s, negative as
	// long as they want.
	DrainLimit time.Duration
	// Unreachable ends the worker once the coordinator was away for so long; 0 means never.
	Unreachable time.Duration
	// Logger gets what happens to the worker itself; nil means slog.Default.
	Logger *slog.Logger
}

// Worker takes tasks from one coordinator. Make it with New, add handlers, then call Run, once.
type Worker struct {
	client   *client.Client
	workers  pb.WorkerServiceClient
	logs     pb.LogServiceClient
	options  Options
	log      *slog.Logger
	handlers map[string]Handler
	baseEnv  map[string]string
	scratch  string

	supervisor *supervise.Client
	stopNow    chan struct{}
	stopOnce   sync.Once
	stopLimit  time.Duration
	background sync.WaitGroup

	mu              sync.Mutex
	book            *book
	lease           *supervise.LeaseClock
	runningHandlers int
	workerID        string
	storeID         string
	epoch           int64
	generation      int64
	repeat          time.Duration
	talk            *conversation
	isGreeting      bool // a hello is on its way and was not answered yet
	patience        sync.Once
	leaving         bool
	isAway          bool
	outcome         *ending
	lastContact     time.Time
	over            chan struct{}
}

// ending is how Run ends: with an error or, after a drain, without.
type ending struct{ err error }

// New makes a worker that uses the client's connection.
func New(c *client.Client, options Options) *Worker {
	options.Slots = max(1, options.Slots)
	if options.Logger == nil {
		options.Logger = slog.Default()
	}
	if options.Directory == "" {
		options.Directory, _ = os.Getwd()
	}
	w := &Worker{
		client:   c,
		workers:  pb.NewWorkerServiceClient(c.Conn()),
		logs:     pb.NewLogServiceClient(c.Conn()),
		options:  options,
		log:      options.Logger,
		handlers: map[string]Handler{},
		stopNow:  make(chan struct{}),
		over:     make(chan struct{}),
		lease:    supervise.NewLeaseClock(),
		repeat:   defaultRepeat,

		stopLimit: stopLimit,
	}
	w.book = newBook(options.Slots, w)
	return w
}

// Handle adds a handler, before Run. A name that is taken is an error of the program, and panics.
func (w *Worker) Handle(name string, handler Handler) {
	if name == "" || handler == nil || w.handlers[name] != nil {
		panic(fmt.Sprintf("worker: handler %q: no name, no function, or there is one already", name))
	}
	w.handlers[name] = handler
}

// RunUntilSignal is Run until SIGTERM or SIGINT, which drain; a second one stops what runs.
func (w *Worker) RunUntilSignal(ctx context.Context) error {
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	defer signal.Stop(signals)
	ctx, cancel := context.WithCancelCause(ctx)
	done := make(chan struct{})
	defer close(done)
	go func() {
		for {
			select {
			case number := <-signals:
				if ctx.Err() != nil {
					w.Stop()
				}
				cancel(fmt.Errorf("received %s", number))
			case <-done:
				return
			}
		}
	}()
	return w.Run(ctx)
}

// Run serves until ctx ends, then drains: it takes nothing new, finishes what runs within DrainLimit, reports,
// and says goodbye. It returns nil after a drain, also one that the coordinator asked for; else the error of
// package client with which the coordinator refused it, such as *client.UnauthenticatedError.
func (w *Worker) Run(ctx context.Context) error {
	scratch, err := os.MkdirTemp("", "br-worker-")
	if err != nil {
		return fmt.Errorf("no folder for the worker's files: %w", err)
	}
	w.scratch = scratch
	defer os.RemoveAll(scratch)
	w.baseEnv = baseEnvironment(os.Environ(), w.options.PassEnv)
	if w.supervisor, err = supervise.Start(scratch); err != nil {
		return err
	}
	w.lastContact = time.Now()
	supervisorGone := make(chan struct{})
	go w.watchSupervisor(supervisorGone)
	w.background.Go(w.keepHouse)
	w.background.Go(func() { w.watchContext(ctx) })
	w.serve()
	w.background.Wait()
	w.supervisor.Close(stopGrace)
	<-supervisorGone
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.outcome.err
}

// Stop ends Run soon: what runs is stopped, and is queued again at no cost.
func (w *Worker) Stop() { w.stopOnce.Do(func() { close(w.stopNow) }) }

// lock does something to the book, hands on what there is room for, and has the rest said.
func (w *Worker) lock(do func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	do()
	w.settle()
}

func (w *Worker) settle() {
	w.book.dispatch()
	if w.talk != nil && !w.book.outgoing.isEmpty() {
		w.talk.wake()
	}
	w.leaveIfDone()
}

func (w *Worker) wakeOutput() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.talk != nil && len(w.book.withOutput) > 0 {
		w.talk.wakeOutput()
	}
}

// end decides how Run ends. Called with the lock held.
func (w *Worker) end(err error) {
	if w.outcome == nil {
		w.outcome = &ending{err}
		close(w.over)
	}
}

// start and stop make a Worker the executor of its book.

func (w *Worker) start(a *attempt) {
	switch {
	case a.GetSpec().GetIsolation() == pb.IsolationMode_ISOLATION_MODE_WORKTREE:
		w.book.finish(a, a.notStarted("a worker in Go makes no worktrees: give the task a label that only "+
			"workers of `br parallel` carry", false))
	case a.isHandler():
		w.startHandler(a)
	case a.GetSpec().GetCommand() != nil && !w.options.NoCommands:
		w.startCommand(a)
	default:
		w.book.finish(a, a.notStarted("this worker does not run tasks of this kind", false))
	}
}

func (w *Worker) stop(a *attempt, cause string, grace time.Duration) {
	if a.isHandler() {
		w.stopHandler(a, cause, grace)
		return
	}
	_ = w.supervisor.Send(supervise.Request{
		Stop: &supervise.Stop{Key: a.AttemptId, Grace: grace, Cause: cause},
	})
}

func (w *Worker) watchSupervisor(gone chan<- struct{}) {
	defer close(gone)
	for event := range w.supervisor.Events() {
		w.onSupervisor(event)
	}
	w.mu.Lock()
	isLost, workerID := w.outcome == nil, w.workerID
	w.end(fmt.Errorf("the supervisor process has ended; its tasks are killed and this worker ends"))
	w.stopHandlers(supervise.CauseStop)
	w.mu.Unlock()
	if isLost && workerID != "" {
		supervise.KillMarked("BR_WORKER_ID=" + workerID)
	}
}

func (w *Worker) keepHouse() {
	ticker := time.NewTicker(houseInterval)
	defer ticker.Stop()
	for {
		select {
		case now := <-ticker.C:
			w.lock(func() { w.book.repeatReports(now, w.repeat) })
			w.wakeOutput()
		case <-w.over:
			return
		}
	}
}
