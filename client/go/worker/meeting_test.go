//go:build linux

package worker

import (
	"context"
	"errors"
	"os"
	"testing"

	"google.golang.org/protobuf/proto"

	"buildrunner.dev/parallel/client"
	"buildrunner.dev/parallel/internal/fake"
	pb "buildrunner.dev/parallel/v1"
)

func TestTheHelloSaysWhatTheWorkerIs(t *testing.T) {
	b := newBench(t, Options{Slots: 3, Labels: []string{"gpu"}, SessionID: "5e551011"}, map[string]Handler{
		"b": nothing, "a": nothing,
	})
	stream, hello := b.connected(1)
	want := &pb.Hello{
		Host: hello.Host, Pid: int32(os.Getpid()), Version: Version, Slots: 3, Labels: []string{"gpu"},
		Kinds:     &pb.WorkerKinds{Commands: true, Handlers: []string{"a", "b"}},
		SessionId: "5e551011", Credit: 4, MaxMessageBytes: maxMessageBytes,
	}
	if !proto.Equal(hello, want) {
		t.Errorf("found  %v\nwanted %v", hello, want)
	}
	for sequence := int64(1); sequence < 4; sequence++ {
		beat := stream.Until("a heartbeat", func(r *pb.ConnectRequest) bool { return r.Heartbeat != nil }).Heartbeat
		if beat.Sequence != sequence {
			t.Errorf("heartbeat %d, not %d", beat.Sequence, sequence)
		}
	}
}

func TestAfterABreakTheWorkerComesBackWithWhatItHolds(t *testing.T) {
	b := newBench(t, Options{Slots: 2}, nil)
	stream, _ := b.connected(1)
	stream.Send(assign(command("ended", "exit 0"), command("runs", "sleep 1000")))
	starts, reports := map[string]bool{}, map[string]bool{}
	stream.Until("one ended and one that runs", func(r *pb.ConnectRequest) bool {
		for _, one := range r.Started {
			starts[one.AttemptId] = true
		}
		for _, one := range r.Reports {
			reports[one.AttemptId] = true
		}
		return starts["runs"] && reports["ended"]
	})
	stream.End(nil)
	stream, hello := b.connected(2)
	held := map[string]*pb.HeldAttempt{}
	for _, one := range hello.Held {
		held[one.AttemptId] = one
	}
	if hello.WorkerId != "abcd1234" || hello.StoreId != "store" || hello.Epoch != 7 || len(held) != 2 ||
		!held["ended"].Ended || held["runs"].Ended || !held["runs"].Started || held["runs"].Pid == 0 {
		t.Errorf("%v", hello)
	}
	again := map[string]bool{}
	stream.Until("the report and the start again", func(r *pb.ConnectRequest) bool {
		for _, one := range r.Started {
			again["started "+one.AttemptId] = true
		}
		for _, one := range r.Reports {
			again["report "+one.AttemptId] = true
		}
		return again["report ended"] && again["started runs"]
	})
}

func TestWhatTheCoordinatorDoesNotKnowIsStoppedWithoutAReport(t *testing.T) {
	b := newBench(t, Options{Slots: 2}, nil)
	stream, _ := b.connected(1)
	stream.Send(assign(command("unknown", "sleep 1000"), command("stale", "sleep 1000")))
	pids := map[string]int32{}
	stream.Until("both starts", func(r *pb.ConnectRequest) bool {
		for _, one := range r.Started {
			pids[one.AttemptId] = one.Pid
		}
		return len(pids) == 2
	})
	stream.Send(&pb.ConnectResponse{HeartbeatReply: &pb.HeartbeatReply{UnknownAttemptIds: []string{"unknown"}}})
	stream.Acknowledge("stale", 11, stale)
	stream.Until("a heartbeat that holds nothing", func(r *pb.ConnectRequest) bool {
		if len(r.Reports) > 0 {
			t.Errorf("a report: %v", r.Reports)
		}
		return r.Heartbeat != nil && len(r.Heartbeat.Held) == 0
	})
	for id, pid := range pids {
		waitUntilGone(t, id, int(pid))
	}
}

func TestAnotherStoreIsServedAnewAndWhatRanIsStopped(t *testing.T) {
	b := newBench(t, Options{}, nil)
	stream, _ := b.connected(1)
	stream.Send(assign(command("a1", "sleep 1000")))
	pid := stream.Started("a1").Pid
	stream.End(nil)
	stream, hello := b.coordinator.NextWorker(t)
	if hello.WorkerId == "" {
		t.Fatal("it forgot its id too early")
	}
	other := welcome(1)
	other.Welcome.StoreId, other.Welcome.Epoch, other.Welcome.WorkerId = "other", 3, "bbbb2222"
	stream.Send(other)
	waitUntilGone(t, "a1", int(pid))
	for {
		stream, hello = b.coordinator.NextWorker(t)
		if hello.WorkerId != "" || hello.StoreId != "" || hello.Epoch != 0 || len(hello.Held) != 0 {
			t.Errorf("%v", hello)
		}
		stream.Send(other)
		if request := stream.Next(); request != nil {
			break // what the old store had running was still being stopped the times before
		}
	}
	next := command("next", "exit 0")
	stream.Send(assign(next))
	stream.Report("next")
}

func TestAnImpostorIsNotTalkedTo(t *testing.T) {
	b := newBench(t, Options{}, nil)
	stream, _ := b.connected(1)
	stream.End(nil)
	stream, _ = b.coordinator.NextWorker(t)
	older := welcome(2)
	older.Welcome.Epoch = 6
	stream.Send(older)
	if request := stream.Next(); request != nil {
		t.Errorf("it says %v", request)
	}
	if _, hello := b.connected(3); hello.WorkerId != "abcd1234" || hello.Epoch != 7 {
		t.Errorf("%v", hello)
	}
}

func TestARefusedTokenEndsTheWorker(t *testing.T) {
	coordinator := fake.New(t)
	coordinator.Start(t)
	c, err := client.New(client.WithAddress(coordinator.Address), client.WithToken("wrong"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	var refused *client.UnauthenticatedError
	if err := New(c, Options{}).Run(context.Background()); !errors.As(err, &refused) {
		t.Errorf("%v", err)
	}
}

func TestASilentCoordinatorIsLeftAndSoughtAgain(t *testing.T) {
	b := newBench(t, Options{}, nil)
	b.connected(1) // and nothing more: no heartbeat is answered
	if _, hello := b.connected(2); hello.WorkerId != "abcd1234" {
		t.Errorf("%v", hello)
	}
}
