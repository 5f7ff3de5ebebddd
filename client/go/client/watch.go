package client

import (
	"context"
	"errors"
	"io"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	pb "buildrunner.dev/parallel/v1"
)

const queuedEvents = 256

// Connection is what an Event says of the coordinator.
type Connection int

const (
	// Connected: the event is a message of the feed.
	Connected Connection = iota
	// Lost: the coordinator went away; the feed is being resumed. Such events have no changes.
	Lost
	// Back: it is there again.
	Back
)

// Event is one message of the feed. In each change the entity is whole: put it in the place of what was known.
type Event struct {
	// Revision is the state behind this event; 0 within a snapshot.
	Revision int64
	// Snapshot: Changes hold what exists. Reset: forget everything seen before. Complete: nothing of the
	// snapshot is missing any more.
	Snapshot, Reset, Complete bool
	// Compacted: the revision that was asked for is no longer known, so this begins a fresh snapshot.
	Compacted bool
	// Closing: the coordinator is being stopped.
	Closing bool
	// Connection: it was lost, or is back; such an event has no changes.
	Connection Connection
	// Changes are entities as they are now, or what is no more.
	Changes []*pb.Change
}

// WatchOptions of Watch; the zero value is everything from a snapshot on.
type WatchOptions struct {
	// SessionIDs leaves out what belongs to other sessions. Tasks are in the snapshot only for these.
	SessionIDs []string
	// Kinds leaves out other entities.
	Kinds []pb.EntityKind
	// EndedTasks puts tasks that are over into the snapshot too.
	EndedTasks bool
	// Since resumes behind this revision, of the store named by StoreID; 0 begins with a snapshot.
	Since   int64
	StoreID string
}

// Watcher follows the change feed, and resumes it after every break without gap or repeat.
type Watcher struct {
	client  *Client
	events  chan *Event
	cancel  context.CancelFunc
	request *pb.WatchRequest

	mu       sync.Mutex
	revision int64
	storeID  string
	err      error
}

// Watch begins to follow. It ends with ctx, with Close, when the coordinator refuses, and when it stays away
// for longer than the client's patience: then the channel of Events is closed, and Err says why.
//
// A goroutine of its own reads the feed, 256 messages ahead at most. Whoever falls further behind holds up
// nobody: the coordinator ends the stream, and it is resumed where it stopped.
func (c *Client) Watch(ctx context.Context, options WatchOptions) *Watcher {
	ctx, cancel := context.WithCancel(ctx)
	w := &Watcher{
		client:   c,
		events:   make(chan *Event, queuedEvents),
		cancel:   cancel,
		revision: options.Since,
		storeID:  options.StoreID,
		request: &pb.WatchRequest{
			SessionIds: options.SessionIDs, Kinds: options.Kinds, EndedTasks: options.EndedTasks,
		},
	}
	go w.follow(ctx)
	return w
}

// Events is closed at the end; see Err.
func (w *Watcher) Events() <-chan *Event { return w.events }

// Err is why the feed has ended: nil after Close and while it goes on.
func (w *Watcher) Err() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.err
}

// Position is where another Watch would go on: the last revision read whole, and its store.
func (w *Watcher) Position() (revision int64, storeID string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.revision, w.storeID
}

// Close ends the feed.
func (w *Watcher) Close() { w.cancel() }

func (w *Watcher) follow(ctx context.Context) {
	defer close(w.events)
	defer w.cancel()
	tries := patience{limit: w.client.link.settings.patience}
	lost, closing := false, false
	for {
		channel, target := w.client.link.now()
		seen := false
		began := time.Now()
		err := w.read(ctx, func(event *Event) bool {
			if lost {
				lost = false
				if !w.put(ctx, &Event{Connection: Back}) {
					return false
				}
			}
			seen, closing = true, event.Closing
			return w.put(ctx, event)
		})
		if isCallers(ctx, err) {
			return
		}
		d := readDetails(err)
		tooSlow := d.reason == "WATCHER_TOO_SLOW"
		if w.client.link.closed.Load() {
			w.fail(unavailable("", "the client is closed"))
			return
		}
		if err != nil && !tooSlow && !isLoss(err, true) && !w.client.link.tokenChanged(err, target) {
			w.fail(fromStatus(err, target.Address))
			return
		}
		if seen {
			tries = patience{limit: w.client.link.settings.patience}
		}
		if !tooSlow && !lost {
			lost = true
			if !w.put(ctx, &Event{Connection: Lost}) {
				return
			}
		}
		if !tries.again(ctx, began) {
			w.fail(w.gone(closing, target.Address))
			return
		}
		w.client.link.lookAgain(channel)
	}
}

// read follows one stream to its end; an end in order is no error.
func (w *Watcher) read(ctx context.Context, take func(*Event) bool) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := w.client.events.Watch(ctx, w.next())
	if err != nil {
		return err
	}
	for {
		answer, err := stream.Recv()
		if err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
		if !take(w.advance(answer)) {
			return nil
		}
	}
}

func (w *Watcher) next() *pb.WatchRequest {
	w.mu.Lock()
	defer w.mu.Unlock()
	request := &pb.WatchRequest{
		SessionIds: w.request.SessionIds, Kinds: w.request.Kinds, EndedTasks: w.request.EndedTasks,
	}
	if w.revision > 0 {
		request.SinceRevision, request.StoreId = proto.Int64(w.revision), w.storeID
	}
	return request
}

// advance takes one message in. A snapshot that breaks off is asked for anew.
func (w *Watcher) advance(answer *pb.WatchResponse) *Event {
	w.mu.Lock()
	defer w.mu.Unlock()
	if answer.Reset_ {
		w.revision = 0
	}
	if answer.Revision != 0 {
		w.revision = answer.Revision
	}
	if answer.StoreId != "" {
		w.storeID = answer.StoreId
	}
	event := &Event{
		Revision: answer.Revision, Snapshot: answer.Snapshot, Reset: answer.Reset_,
		Complete:  !answer.Snapshot || answer.Revision > 0,
		Compacted: answer.Compacted, Closing: answer.Closing,
	}
	for _, change := range answer.Changes {
		// An entity of a kind that this client does not know has no value here.
		if change.Entity != nil {
			event.Changes = append(event.Changes, change)
		}
	}
	return event
}

func (w *Watcher) put(ctx context.Context, event *Event) bool {
	select {
	case w.events <- event:
		return true
	case <-ctx.Done():
		return false
	}
}

func (w *Watcher) fail(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.err = err
}

func (w *Watcher) gone(closing bool, address string) error {
	what := "went away and did not come back"
	if closing {
		what = "was stopped"
	}
	return unavailable("", "the coordinator at "+address+" "+what+
		"; any `br parallel` command starts the local one")
}

// WaitSession waits, by watching, until the session is over, and returns it as it ended.
func (c *Client) WaitSession(ctx context.Context, sessionID string) (*pb.Session, error) {
	session, err := c.GetSession(ctx, sessionID)
	if err != nil || IsSessionOver(session) {
		return session, err
	}
	watcher := c.Watch(ctx, WatchOptions{
		SessionIDs: []string{session.SessionId}, Kinds: []pb.EntityKind{pb.EntityKind_ENTITY_KIND_SESSION},
	})
	defer watcher.Close()
	for event := range watcher.Events() {
		for _, change := range event.Changes {
			if found := change.GetSession(); found.GetSessionId() == session.SessionId {
				session = found
			}
			if gone := change.GetRemoved(); gone.GetId() == session.SessionId {
				return nil, notFound("SESSION_NOT_FOUND", "session "+session.SessionId+" was deleted")
			}
		}
		if event.Snapshot && event.Complete && !IsSessionOver(session) {
			// One that has ended meanwhile may not be in a snapshot any more.
			if session, err = c.GetSession(ctx, session.SessionId); err != nil {
				return nil, err
			}
		}
		if IsSessionOver(session) {
			return session, nil
		}
	}
	return nil, watchEnded(ctx, watcher, "waiting for session "+session.SessionId)
}

// WaitTask waits, by watching, until the task is over, and returns it with its attempts.
func (c *Client) WaitTask(ctx context.Context, sessionID, taskID string) (*pb.Task, error) {
	task, err := c.GetTask(ctx, sessionID, taskID)
	if err != nil || IsTaskOver(task.GetSummary()) {
		return task, err
	}
	whole := task.Summary.SessionId
	watcher := c.Watch(ctx, WatchOptions{SessionIDs: []string{whole}, Kinds: []pb.EntityKind{
		pb.EntityKind_ENTITY_KIND_TASK, pb.EntityKind_ENTITY_KIND_SESSION,
	}})
	defer watcher.Close()
	for event := range watcher.Events() {
		look := event.Snapshot && event.Complete
		for _, change := range event.Changes {
			found := change.GetTask()
			look = look || change.GetRemoved() != nil || found.GetTaskId() == taskID && IsTaskOver(found)
		}
		if look {
			if task, err = c.GetTask(ctx, whole, taskID); err != nil || IsTaskOver(task.GetSummary()) {
				return task, err
			}
		}
	}
	return nil, watchEnded(ctx, watcher, "waiting for task "+taskID)
}

func watchEnded(ctx context.Context, watcher *Watcher, what string) error {
	if ctx.Err() != nil {
		return ofContext(ctx, what)
	}
	if err := watcher.Err(); err != nil {
		return err
	}
	return unavailable("", what+": the client was closed")
}
