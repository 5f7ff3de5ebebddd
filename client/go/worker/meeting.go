//go:build linux

package worker

import (
	"fmt"
	"maps"
	"os"
	"path"
	"slices"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"buildrunner.dev/parallel/client"
	"buildrunner.dev/parallel/internal/boottime"
	"buildrunner.dev/parallel/internal/supervise"
	pb "buildrunner.dev/parallel/v1"
)

// What a worker tells a coordinator of itself, and what it makes of the answers.

// hello is who this is and what it holds. Called with the lock held.
func (w *Worker) hello() *pb.Hello {
	w.book.credit.reset()
	host, _ := os.Hostname()
	return &pb.Hello{
		WorkerId:        w.workerID,
		Host:            host,
		Pid:             int32(os.Getpid()),
		Version:         Version,
		Slots:           int32(w.options.Slots),
		Labels:          w.options.Labels,
		Kinds:           &pb.WorkerKinds{Commands: !w.options.NoCommands, Handlers: slices.Sorted(maps.Keys(w.handlers))},
		SessionId:       w.options.SessionID,
		MetadataJson:    w.options.Metadata,
		Held:            w.book.held(),
		Credit:          int32(w.book.credit.initial()),
		StoreId:         w.storeID,
		Epoch:           w.epoch,
		MaxMessageBytes: maxMessageBytes,
		Capabilities:    w.capabilities(),
	}
}

// capabilities: whether names in this worker's checkout are told apart by their case.
func (w *Worker) capabilities() []string {
	workspace, err := client.FindWorkspace(w.options.Directory)
	if err != nil {
		return nil
	}
	known, err := os.Stat(path.Join(workspace.Worktree, ".git"))
	if err != nil {
		return nil
	}
	if other, err := os.Stat(path.Join(workspace.Worktree, ".GIT")); err == nil && os.SameFile(known, other) {
		return []string{"ignores-case"}
	}
	return nil
}

// welcomed checks that it is the same coordinator's store, then reconciles; a text refuses the coordinator.
// Called with the lock held.
func (w *Worker) welcomed(welcome *pb.Welcome, helloSentAt boottime.Moment) string {
	switch {
	case welcome.GetWorkerId() == "":
		return "the first message was no welcome"
	case w.storeID != "" && welcome.StoreId != w.storeID:
		w.becomeNew()
		return "another store answered"
	case welcome.Epoch < w.epoch:
		return fmt.Sprintf("an impostor answered: epoch %d is older than %d", welcome.Epoch, w.epoch)
	}
	isNew := welcome.WorkerId != w.workerID
	if isNew && w.book.hasProcesses() {
		return "what the old store had running is still being stopped"
	}
	w.workerID, w.storeID = welcome.WorkerId, welcome.StoreId
	w.epoch, w.generation = welcome.Epoch, welcome.Generation
	w.repeat = defaultRepeat
	if welcome.ReportRepeatMs > 0 {
		w.repeat = max(time.Duration(welcome.ReportRepeatMs)*time.Millisecond, 50*time.Millisecond)
	}
	w.book.headLimit, w.book.tailLimit = welcome.OutputHeadBytes, welcome.OutputTailBytes
	if isNew {
		// Only a new worker's hello counts as its first heartbeat; others keep their lease.
		w.renewLease(welcome, helloSentAt)
	}
	w.book.newStream(time.Now())
	w.isAway = false
	w.log.Info("connected", "worker", w.workerID, "coordinator", w.client.Target().Address)
	if w.leaving {
		w.background.Go(w.askForDrain)
	}
	return ""
}

// renewLease counts from the sending of a heartbeat that was answered. Called with the lock held.
func (w *Worker) renewLease(welcome *pb.Welcome, from boottime.Moment) {
	if welcome.KillAfterMs == 0 {
		return
	}
	lease := supervise.Lease{
		StopAt:   from.Add(time.Duration(welcome.StopAfterMs) * time.Millisecond),
		KillAt:   from.Add(time.Duration(welcome.KillAfterMs) * time.Millisecond),
		LockFile: w.client.Target().LockFile,
	}
	w.lease.Renew(lease)
	_ = w.supervisor.Send(supervise.Request{Lease: &lease})
	w.book.withoutLease = false
}

// becomeNew: nothing that was done before counts any more: stop it and register without an id. Called with
// the lock held.
func (w *Worker) becomeNew() {
	w.log.Warn("starting anew: the coordinator or its store does not know this worker", "worker", w.workerID)
	w.book.disownAll()
	w.book.outgoing = newOutgoing()
	w.workerID, w.storeID, w.epoch, w.generation = "", "", 0, 0
}

// received takes one message of the coordinator's. Called with the lock held.
func (w *Worker) received(response *pb.ConnectResponse, talk *conversation) {
	w.lastContact = time.Now()
	if reply := response.HeartbeatReply; reply != nil {
		if sent, ok := talk.heartbeatSent(reply.Sequence); ok {
			w.renewLease(talk.welcome, sent)
		}
		w.book.disown(reply.UnknownAttemptIds...)
	}
	for _, word := range response.Acknowledgements {
		w.book.acknowledge(word)
	}
	w.book.assign(response.Assignments, w.generation)
	for _, revocation := range response.Revocations {
		w.book.revoke(revocation)
	}
	for _, cancellation := range response.Cancellations {
		w.book.cancel(cancellation)
	}
	if response.Drain != nil {
		w.drain("asked by the coordinator: " + response.Drain.Reason)
	}
	w.settle()
}

// judge decides whether to try again after a conversation has ended.
func (w *Worker) judge(talk *conversation, err error, code codes.Code) {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := time.Now()
	if talk.welcome != nil {
		w.lastContact = now
	}
	away := now.Sub(w.lastContact)
	switch {
	case w.outcome != nil:
	case code == codes.NotFound && w.workerID != "":
		w.becomeNew()
	case code == codes.NotFound || slices.Contains(refusals, code):
		w.end(w.client.FromStream(err))
	case w.leaving && w.book.isEmpty():
		w.end(nil)
	case w.options.Unreachable > 0 && away > w.options.Unreachable:
		w.end(w.client.FromStream(err))
	default:
		if !w.isAway {
			w.log.Info("the coordinator is away; what runs goes on", "reason", status.Convert(err).Message())
		}
		w.isAway = true
	}
}
