//go:build linux

// br-worker-go runs commands, and one handler as an example: text.count, which counts the words of its payload.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"
	"time"

	"buildrunner.dev/parallel/client"
	"buildrunner.dev/parallel/worker"
)

// As `br` does: 3 for a coordinator that is away or does not know the token.
const (
	exitFailed      = 1
	exitUnreachable = 3
)

func main() {
	var where []client.Option
	options := worker.Options{}
	flag.IntVar(&options.Slots, "slots", 1, "tasks of one slot that run at a time")
	flag.StringVar(&options.SessionID, "session", "", "serve the session with this `id` alone, and leave at its end")
	flag.StringVar(&options.Metadata, "metadata", "", "a `JSON` object shown with the worker")
	flag.DurationVar(&options.DrainLimit, "drain", 30*time.Second, "what runs may take so long after SIGTERM")
	flag.DurationVar(&options.Unreachable, "unreachable", 0, "leave after so long without the coordinator (0: never)")
	flag.Func("label", "a `label` that tasks may require; repeatable", func(label string) error {
		options.Labels = append(options.Labels, label)
		return nil
	})
	flag.Func("pass-env", "a `pattern` of variables that tasks see of this process's; repeatable", func(p string) error {
		options.PassEnv = append(options.PassEnv, p)
		return nil
	})
	flag.Func("coordinator", "its `address`, unix:PATH or HOST:PORT (default $BR_COORDINATOR, else the workspace's)",
		func(address string) error {
			where = append(where, client.WithAddress(address))
			return nil
		})
	flag.Func("token-file", "a `file` with the token to present", func(path string) error {
		where = append(where, client.WithTokenFile(path))
		return nil
	})
	flag.Parse()
	if flag.NArg() > 0 || options.Slots < 1 {
		fmt.Fprintln(os.Stderr, "br-worker-go: takes options only, and --slots from 1 on; see --help")
		os.Exit(2)
	}
	if options.DrainLimit == 0 {
		options.DrainLimit = time.Nanosecond
	}
	if err := run(where, options); err != nil {
		fmt.Fprintln(os.Stderr, "br-worker-go:", err)
		os.Exit(exitCode(err))
	}
}

func run(where []client.Option, options worker.Options) error {
	c, err := client.New(where...)
	if err != nil {
		return err
	}
	defer c.Close()
	w := worker.New(c, options)
	w.Handle("text.count", func(_ context.Context, task *worker.Task) (worker.Result, error) {
		return worker.JSON(map[string]int{"words": len(strings.Fields(string(task.Payload)))})
	})
	return w.RunUntilSignal(context.Background())
}

func exitCode(err error) int {
	var away *client.UnavailableError
	var refused *client.UnauthenticatedError
	if errors.As(err, &away) || errors.As(err, &refused) {
		return exitUnreachable
	}
	return exitFailed
}
