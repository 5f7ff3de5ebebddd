//go:build linux

// The Go worker, as the conformance kit starts it: worker [--slots N] [--label L]... [--session ID].
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"time"

	"buildrunner.dev/parallel/client"
	"buildrunner.dev/parallel/worker"
)

const stepPause = 50 * time.Millisecond

type payload struct {
	Ms      int    `json:"ms"`
	Steps   int    `json:"steps"`
	Message string `json:"message"`
}

func main() {
	options := worker.Options{DrainLimit: -1}
	flag.IntVar(&options.Slots, "slots", 1, "tasks of one slot that run at a time")
	flag.StringVar(&options.SessionID, "session", "", "serve this session alone")
	flag.Func("label", "a label that tasks may require; repeatable", func(label string) error {
		options.Labels = append(options.Labels, label)
		return nil
	})
	flag.Parse()
	if err := run(options); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(options worker.Options) error {
	c, err := client.New()
	if err != nil {
		return err
	}
	defer c.Close()
	w := worker.New(c, options)
	w.Handle("conformance.echo", echo)
	w.Handle("conformance.busy", with(busy))
	w.Handle("conformance.wait", with(wait))
	w.Handle("conformance.progress", with(progress))
	w.Handle("conformance.fail", with(fail))
	return w.RunUntilSignal(context.Background())
}

func with(do func(context.Context, *worker.Task, payload) (worker.Result, error)) worker.Handler {
	return func(ctx context.Context, task *worker.Task) (worker.Result, error) {
		var given payload
		if err := task.Decode(&given); err != nil {
			return worker.Result{}, err
		}
		return do(ctx, task, given)
	}
}

func echo(_ context.Context, task *worker.Task) (worker.Result, error) {
	return worker.Result{Data: task.Payload, ContentType: task.ContentType}, nil
}

func busy(_ context.Context, _ *worker.Task, given payload) (worker.Result, error) {
	for ends := time.Now().Add(time.Duration(given.Ms) * time.Millisecond); time.Now().Before(ends); {
	}
	return worker.JSON(map[string]int{"ms": given.Ms})
}

func wait(ctx context.Context, _ *worker.Task, given payload) (worker.Result, error) {
	select {
	case <-ctx.Done():
		return worker.Result{}, context.Cause(ctx)
	case <-time.After(time.Duration(given.Ms) * time.Millisecond):
		return worker.JSON(map[string]bool{"cancelled": false})
	}
}

func progress(_ context.Context, task *worker.Task, given payload) (worker.Result, error) {
	for step := 1; step <= given.Steps; step++ {
		task.Progress(float64(100*step)/float64(given.Steps), fmt.Sprintf("step %d", step))
		time.Sleep(stepPause)
	}
	return worker.Result{}, nil
}

func fail(_ context.Context, _ *worker.Task, given payload) (worker.Result, error) {
	return worker.Result{}, errors.New(given.Message)
}
