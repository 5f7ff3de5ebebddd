//go:build linux

package worker

import (
	"context"
	"errors"
	"fmt"
	"time"

	"buildrunner.dev/parallel/internal/supervise"
	pb "buildrunner.dev/parallel/v1"
)

// How a worker leaves: it drains, stops what takes too long, and says goodbye.

func (w *Worker) watchContext(ctx context.Context) {
	select {
	case <-w.over:
		return
	case <-w.stopNow:
		w.leave("Stop was called")
	case <-ctx.Done():
		w.leave(context.Cause(ctx).Error())
		limit := w.options.DrainLimit
		if limit == 0 {
			limit = defaultDrain
		}
		var late <-chan time.Time
		if limit > 0 {
			late = time.After(limit)
		}
		select {
		case <-w.over:
			return
		case <-w.stopNow:
		case <-late:
		}
	}
	w.lock(func() {
		w.log.Info("stopping what runs")
		w.book.stopAll(supervise.CauseStop, stopGrace)
	})
	select {
	case <-w.over:
	case <-time.After(w.stopLimit):
		w.lock(func() {
			w.end(fmt.Errorf("the worker leaves all the same: not ended although told to, or not reported: %d",
				len(w.book.attempts)))
		})
	}
}

// leave takes nothing new.
func (w *Worker) leave(reason string) {
	w.lock(func() { w.drain(reason) })
	w.background.Go(w.askForDrain)
}

// drain: called with the lock held.
func (w *Worker) drain(reason string) {
	if !w.leaving {
		w.log.Info("draining", "reason", reason)
		w.leaving = true
	}
	w.book.drain()
}

// askForDrain has the coordinator send nothing new; what comes nevertheless is given back.
func (w *Worker) askForDrain() {
	w.mu.Lock()
	workerID, isLeft := w.workerID, w.outcome != nil
	w.mu.Unlock()
	if workerID == "" || isLeft {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), drainCall)
	defer cancel()
	go func() {
		select {
		case <-w.over:
			cancel()
		case <-ctx.Done():
		}
	}()
	request := &pb.DrainWorkerRequest{WorkerId: workerID, Reason: "the worker leaves"}
	if _, err := w.workers.DrainWorker(ctx, request); err != nil && !errors.Is(err, context.Canceled) {
		w.log.Info("the drain could not be announced", "error", err)
	}
}

// leaveIfDone: called with the lock held.
func (w *Worker) leaveIfDone() {
	if !w.leaving || !w.book.isEmpty() || w.outcome != nil {
		return
	}
	switch {
	case w.isGreeting:
		// The hello may have arrived, and would be a worker that nobody hears of again: the welcome is awaited.
		w.patience.Do(func() { time.AfterFunc(farewellLimit, w.endUnwelcomed) })
	case w.talk == nil:
		w.end(nil)
	case w.book.outgoing.isEmpty():
		w.talk.sayGoodbye()
	}
}

func (w *Worker) endUnwelcomed() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.isGreeting {
		w.end(nil)
	}
}
