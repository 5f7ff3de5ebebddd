package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	"buildrunner.dev/parallel/client"
	pb "buildrunner.dev/parallel/v1"
)

// following is a watch in the background, and what it has told.
type following struct {
	watcher *client.Watcher

	mu       sync.Mutex
	news     chan struct{} // closed, and made anew, with each event
	seen     map[[2]string]bool
	changes  [][]any
	resets   int
	compacts int
	backs    int
	revision int64
	ended    bool
}

func follow(ctx context.Context, c *client.Client, asked request) *following {
	f := &following{
		watcher: c.Watch(ctx, client.WatchOptions{
			SessionIDs: []string{asked.SessionID}, Kinds: []pb.EntityKind{pb.EntityKind_ENTITY_KIND_TASK},
			EndedTasks: true, Since: asked.Since, StoreID: asked.StoreID,
		}),
		news: make(chan struct{}), seen: map[[2]string]bool{}, changes: [][]any{}, revision: asked.Since,
	}
	go func() {
		for event := range f.watcher.Events() {
			f.take(event)
		}
		f.mu.Lock()
		defer f.mu.Unlock()
		f.ended = true
		close(f.news)
	}()
	return f
}

func (f *following) take(event *client.Event) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if event.Connection == client.Back {
		f.backs++
	}
	if event.Reset {
		f.resets++
	}
	if event.Compacted {
		f.compacts++
	}
	if event.Revision != 0 {
		f.revision = event.Revision
	}
	for _, change := range event.Changes {
		if task := change.GetTask(); task != nil {
			status := word(task.GetStatus(), "TASK_STATUS_")
			f.seen[[2]string{task.TaskId, status}] = true
			if !event.Snapshot {
				f.changes = append(f.changes, []any{event.Revision, task.TaskId, status})
			}
		}
	}
	close(f.news)
	f.news = make(chan struct{})
}

func (f *following) until(taskID, status string, limit time.Duration) (object, error) {
	late := time.After(limit)
	for {
		f.mu.Lock()
		news, ended, isSeen := f.news, f.ended, f.seen[[2]string{taskID, status}]
		if isSeen {
			defer f.mu.Unlock()
			changes := f.changes
			f.changes = [][]any{}
			return object{
				"revision": f.revision, "resets": f.resets, "compactions": f.compacts, "reconnects": f.backs,
				"changes": changes,
			}, nil
		}
		f.mu.Unlock()
		if ended {
			if err := f.watcher.Err(); err != nil {
				return nil, err
			}
			return nil, invalid{"the watch has been closed"}
		}
		select {
		case <-news:
		case <-late:
			return nil, &client.TimeoutError{CallError: client.CallError{
				Reason: "TIMEOUT", Message: fmt.Sprintf("%s was not %s within %s", taskID, status, limit),
			}}
		}
	}
}

func (f *following) close() { f.watcher.Close() }
