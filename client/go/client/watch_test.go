package client

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"buildrunner.dev/parallel/internal/fake"
	pb "buildrunner.dev/parallel/v1"
)

type watchStream = grpc.ServerStreamingServer[pb.WatchResponse]

func change(taskID string) []*pb.Change {
	return []*pb.Change{
		{Entity: &pb.Change_Task{Task: &pb.TaskSummary{TaskId: taskID}}}, {}, // the second is of an unknown kind
	}
}

// told is what a watcher says, a word an event.
func told(event *Event) string {
	if event.Connection != Connected {
		return map[Connection]string{Lost: "lost", Back: "back"}[event.Connection]
	}
	text := fmt.Sprint(event.Revision)
	for flag, is := range map[string]bool{"r": event.Reset, "s": event.Snapshot, "c": event.Compacted, "e": event.Closing} {
		if is {
			text += flag
		}
	}
	for _, one := range event.Changes {
		text += ":" + one.GetTask().GetTaskId()
	}
	return text
}

func next(t *testing.T, w *Watcher) *Event {
	t.Helper()
	select {
	case event, ok := <-w.Events():
		if !ok {
			t.Fatalf("the feed has ended: %v", w.Err())
		}
		return event
	case <-time.After(fake.GiveUp):
		t.Fatal("no event")
	}
	return nil
}

func TestAWatchGoesOnWhereItWasAfterEachBreak(t *testing.T) {
	c := fake.New(t)
	asked := make(chan *pb.WatchRequest, 10)
	calls := 0
	c.OnWatch = func(request *pb.WatchRequest, s watchStream) error {
		asked <- request
		calls++
		switch calls {
		case 1: // breaks off within its snapshot
			_ = s.Send(&pb.WatchResponse{Snapshot: true, Reset_: true, StoreId: "st"})
			return status.Error(codes.Unavailable, "gone")
		case 2: // is too slow, which is nobody's loss
			_ = s.Send(&pb.WatchResponse{Snapshot: true, Reset_: true, StoreId: "st", Changes: change("a")})
			_ = s.Send(&pb.WatchResponse{Snapshot: true, Revision: 5})
			return fake.Refusal(codes.ResourceExhausted, "WATCHER_TOO_SLOW", "Watch again.")
		case 3: // is closed in order
			_ = s.Send(&pb.WatchResponse{Revision: 6, Changes: change("b")})
			return s.Send(&pb.WatchResponse{Closing: true})
		case 4: // is compacted
			_ = s.Send(&pb.WatchResponse{Snapshot: true, Reset_: true, Compacted: true, StoreId: "st"})
			_ = s.Send(&pb.WatchResponse{Snapshot: true, Revision: 90})
		}
		<-s.Context().Done()
		return nil
	}
	c.Start(t)
	w := connect(t, c).Watch(bounded(t), WatchOptions{SessionIDs: []string{"s"}, EndedTasks: true})
	var said []string
	for range 11 {
		event := next(t, w)
		said = append(said, told(event))
		if event.Snapshot && event.Complete != (event.Revision > 0) {
			t.Errorf("complete: %+v", event)
		}
	}
	got := strings.Join(said, " ")
	for _, order := range []string{"rs", "sr", "rsc", "crs", "src", "csr", "rcs", "scr"} {
		got = strings.ReplaceAll(got, "0"+order+" ", "0"+sorted(order)+" ")
		got = strings.ReplaceAll(got, "0"+order+":", "0"+sorted(order)+":")
	}
	if want := "0rs lost back 0rs:a 5s 6:b 0e lost back 0crs 90s"; got != want {
		t.Errorf("found  %s\nwanted %s", got, want)
	}
	for _, since := range []int64{0, 0, 5, 6} {
		request := <-asked
		if request.GetSinceRevision() != since || (since > 0) != (request.StoreId == "st") || !request.EndedTasks {
			t.Errorf("asked %v, not from %d", request, since)
		}
	}
	if revision, store := w.Position(); revision != 90 || store != "st" {
		t.Errorf("position %d of %s", revision, store)
	}
	w.Close()
	for range w.Events() {
	}
	if w.Err() != nil {
		t.Errorf("closed: %v", w.Err())
	}
}

func sorted(order string) string {
	if len(order) == 3 {
		return "crs"
	}
	return "rs"
}

func TestAWatchEndsWithWhatItIsRefusedWith(t *testing.T) {
	c := fake.New(t)
	c.OnWatch = func(*pb.WatchRequest, watchStream) error {
		return fake.Refusal(codes.NotFound, "SESSION_NOT_FOUND", "There is none.")
	}
	c.Start(t)
	w := connect(t, c).Watch(bounded(t), WatchOptions{})
	for range w.Events() {
	}
	var gone *NotFoundError
	if !errors.As(w.Err(), &gone) {
		t.Errorf("%v", w.Err())
	}
}

func TestAWatchDoesNotWaitForEverForACoordinatorThatIsGone(t *testing.T) {
	w := connect(t, fake.New(t), WithPatience(50*time.Millisecond)).Watch(bounded(t), WatchOptions{})
	if said := told(next(t, w)); said != "lost" {
		t.Errorf("%s", said)
	}
	for range w.Events() {
	}
	var away *UnavailableError
	if !errors.As(w.Err(), &away) {
		t.Errorf("%v", w.Err())
	}
}

func TestAReaderThatNeverReadsHoldsUpNobody(t *testing.T) {
	c := fake.New(t)
	sent := make(chan int, 1)
	c.OnWatch = func(_ *pb.WatchRequest, s watchStream) error {
		for i := 1; ; i++ {
			if i == 2*queuedEvents {
				sent <- i
			}
			if err := s.Send(&pb.WatchResponse{Revision: int64(i)}); err != nil {
				return err
			}
		}
	}
	c.Start(t)
	client := connect(t, c)
	w := client.Watch(bounded(t), WatchOptions{})
	<-sent
	c.OnUnary = nil
	if _, err := client.Info(bounded(t)); err == nil {
		t.Error("UNIMPLEMENTED was expected of this coordinator")
	}
	w.Close()
}

func TestOutputIsReadOnceThroughABreak(t *testing.T) {
	c := fake.New(t)
	calls := 0
	piece := func(offset int64, text string, dropped int64) *pb.ReadOutputResponse {
		return &pb.ReadOutputResponse{TaskId: "t", Attempt: 1, Chunk: &pb.OutputChunk{
			Offset: offset, Data: []byte(text), DroppedBytes: dropped,
		}}
	}
	c.OnRead = func(request *pb.ReadOutputRequest, s grpc.ServerStreamingServer[pb.ReadOutputResponse]) error {
		if calls++; calls == 1 {
			_ = s.Send(piece(0, "abc", 0))
			return status.Error(codes.Unavailable, "gone")
		}
		if request.TailLines != 0 {
			t.Errorf("it asks for the tail again: %v", request)
		}
		_ = s.Send(piece(0, "ab", 0))
		_ = s.Send(piece(2, "cdef", 0))
		return s.Send(piece(16, "z", 10))
	}
	c.Start(t)
	var read string
	for piece, err := range connect(t, c).Logs(bounded(t), "s", LogOptions{TaskID: "t", TailLines: 5}) {
		if err != nil {
			t.Fatal(err)
		}
		read += fmt.Sprintf("%d+%d%s ", piece.Chunk.Offset, piece.Chunk.DroppedBytes, piece.Chunk.Data)
	}
	if want := "0+0abc 3+0def 16+10z "; read != want {
		t.Errorf("%q, not %q", read, want)
	}
}
