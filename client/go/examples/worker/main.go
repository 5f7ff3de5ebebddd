//go:build linux

package main

import (
	"context"
	"log"
	"strings"

	"buildrunner.dev/parallel/client"
	"buildrunner.dev/parallel/worker"
)

func main() {
	c, err := client.New()
	if err != nil {
		log.Fatal(err)
	}
	w := worker.New(c, worker.Options{Slots: 4})
	w.Handle("text.count", func(ctx context.Context, task *worker.Task) (worker.Result, error) {
		task.Progress(50, "half of it")
		return worker.JSON(map[string]int{"words": len(strings.Fields(string(task.Payload)))})
	})
	if err := w.RunUntilSignal(context.Background()); err != nil {
		log.Fatal(err)
	}
}
