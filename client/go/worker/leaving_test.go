//go:build linux

package worker

import (
	"os"
	"testing"
	"time"

	"buildrunner.dev/parallel/internal/fake"
	pb "buildrunner.dev/parallel/v1"
)

func TestADrainFinishesWhatRunsGivesBackWhatWaitsAndSaysGoodbye(t *testing.T) {
	b := newBench(t, Options{}, nil)
	stream, _ := b.connected(1)
	stream.Send(assign(command("runs", "while [ ! -e go ]; do sleep 0.01; done"), command("waits", "exit 0")))
	stream.Started("runs")
	b.leave()
	answer := stream.Until("what waits", func(r *pb.ConnectRequest) bool { return len(r.RevocationAnswers) > 0 })
	if one := answer.RevocationAnswers[0]; one.AttemptId != "waits" || one.Started {
		t.Errorf("%v", one)
	}
	if err := os.WriteFile(b.worker.options.Directory+"/go", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if report := stream.Report("runs"); report.Outcome != pb.Outcome_OUTCOME_SUCCEEDED {
		t.Errorf("%v", report)
	}
	stream.Acknowledge("runs", 11, accepted)
	stream.Until("goodbye", func(r *pb.ConnectRequest) bool { return r.Goodbye != nil })
	if last := stream.Next(); last != nil {
		t.Errorf("it goes on: %v", last)
	}
	stream.End(nil)
	if err := b.mustEnd(); err != nil {
		t.Errorf("Run: %v", err)
	}
}

func TestADrainThatTakesTooLongStopsWhatRunsAtNoCost(t *testing.T) {
	b := newBench(t, Options{DrainLimit: time.Millisecond}, nil)
	b.worker.stopLimit = fake.GiveUp
	stream, _ := b.connected(1)
	stream.Send(assign(command("runs", "sleep 1000")))
	stream.Started("runs")
	b.leave()
	report := stream.Report("runs")
	stream.Acknowledge("runs", 11, accepted)
	if report.Outcome != pb.Outcome_OUTCOME_REVOKED {
		t.Errorf("%v", report)
	}
	stream.Until("goodbye", func(r *pb.ConnectRequest) bool { return r.Goodbye != nil })
	stream.End(nil)
	if err := b.mustEnd(); err != nil {
		t.Errorf("Run: %v", err)
	}
}

func TestTheCoordinatorsDrainEndsTheWorker(t *testing.T) {
	b := newBench(t, Options{}, nil)
	stream, _ := b.connected(1)
	stream.Send(&pb.ConnectResponse{Drain: &pb.Drain{Reason: "enough"}})
	stream.Until("goodbye", func(r *pb.ConnectRequest) bool { return r.Goodbye != nil })
	stream.End(nil)
	if err := b.mustEnd(); err != nil {
		t.Errorf("Run: %v", err)
	}
}

func TestADrainBetweenHelloAndWelcomeSaysGoodbyeToo(t *testing.T) {
	b := newBench(t, Options{}, nil)
	stream, _ := b.coordinator.NextWorker(b)
	b.leave()
	b.mustBeLeaving()
	stream.Send(welcome(1))
	stream.Until("goodbye", func(r *pb.ConnectRequest) bool { return r.Goodbye != nil })
	stream.End(nil)
	if err := b.mustEnd(); err != nil {
		t.Errorf("Run: %v", err)
	}
}

func TestAWelcomeThatDoesNotComeHoldsUpNoDrain(t *testing.T) {
	b := newBench(t, Options{}, nil)
	b.coordinator.NextWorker(b)
	b.leave()
	if err := b.mustEnd(); err != nil {
		t.Errorf("Run: %v", err)
	}
}

func TestAWorkerThatIsStoppedWhileTheCoordinatorIsAwayEndsWhatRunsAndSaysSo(t *testing.T) {
	b := newBench(t, Options{}, nil)
	stream, _ := b.connected(1)
	stream.Send(assign(command("a1", "sleep 1000")))
	pid := stream.Started("a1").Pid
	b.coordinator.Stop()
	b.leave()
	b.worker.Stop()
	if err := b.mustEnd(); err == nil {
		t.Error("it says nothing of what it could not report")
	}
	waitUntilGone(t, "a1", int(pid))
}
