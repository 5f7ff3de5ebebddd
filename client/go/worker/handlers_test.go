//go:build linux

package worker

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"

	pb "buildrunner.dev/parallel/v1"
)

func TestAHandlerGetsItsTaskAndLeavesAResult(t *testing.T) {
	b := newBench(t, Options{}, map[string]Handler{"shout": func(_ context.Context, task *Task) (Result, error) {
		_, _ = io.WriteString(task.Stdout, "working on "+task.ID)
		task.Progress(250, "almost\nthere")
		return Text(strings.ToUpper(string(task.Payload)) + task.ContentType + task.Environment["NAME"])
	}})
	stream, _ := b.connected(1)
	assignment := handled("h1", "shout", "hello ")
	assignment.Spec.Environment = map[string]string{"NAME": "!"}
	stream.Send(assign(assignment))
	report := stream.Report("h1")
	if report.Outcome != pb.Outcome_OUTCOME_SUCCEEDED || string(report.Result.GetData()) != "HELLO text/plain!" ||
		b.text(report, pb.OutputChannel_OUTPUT_CHANNEL_STDOUT) != "working on task-h1" || report.ExitCode != nil {
		t.Errorf("%v", report)
	}
}

func TestProgressIsToldWhileAHandlerRuns(t *testing.T) {
	told := make(chan struct{})
	b := newBench(t, Options{}, map[string]Handler{"slow": func(_ context.Context, task *Task) (Result, error) {
		task.Progress(50, "half\nof it")
		<-told
		return Result{}, nil
	}})
	stream, _ := b.connected(1)
	stream.Send(assign(handled("h1", "slow", "")))
	progress := stream.Until("progress", func(r *pb.ConnectRequest) bool { return len(r.Progress) > 0 }).Progress[0]
	close(told)
	if progress.Percent != 50 || progress.Message != "half of it" || progress.AttemptId != "h1" || progress.Fence != 11 {
		t.Errorf("%v", progress)
	}
	stream.Report("h1")
}

func TestAHandlerHearsWhyItIsToEnd(t *testing.T) {
	causes := make(chan error, 2)
	wait := func(ctx context.Context, _ *Task) (Result, error) {
		<-ctx.Done()
		causes <- context.Cause(ctx)
		return Result{}, ctx.Err()
	}
	b := newBench(t, Options{Slots: 2}, map[string]Handler{"wait": wait})
	stream, _ := b.connected(1)
	late := handled("late", "wait", "")
	late.Spec.TimeoutMs = 50
	stream.Send(assign(late))
	report := stream.Report("late")
	if cause := <-causes; !errors.Is(cause, ErrTimeout) || report.Outcome != pb.Outcome_OUTCOME_TIMED_OUT ||
		report.Error != "stopped after its timeout of 0.05 s" {
		t.Errorf("%v, %v", cause, report)
	}
	stream.Send(assign(handled("h1", "wait", "")))
	stream.Started("h1")
	stream.Send(&pb.ConnectResponse{Cancellations: []*pb.Cancellation{{AttemptId: "h1", Fence: 11, Reason: "enough"}}})
	report = stream.Report("h1")
	if cause := <-causes; !errors.Is(cause, ErrCancelled) || report.Outcome != pb.Outcome_OUTCOME_CANCELLED ||
		report.Error != "enough" {
		t.Errorf("%v, %v", cause, report)
	}
}

func TestAHandlerThatFailsOrPanicsFailsItsTaskAlone(t *testing.T) {
	b := newBench(t, Options{}, map[string]Handler{
		"fail":  func(context.Context, *Task) (Result, error) { return Result{}, errors.New("no\nluck") },
		"panic": func(context.Context, *Task) (Result, error) { panic("what now") },
		"large": func(context.Context, *Task) (Result, error) { return Result{Data: make([]byte, resultLimit+1)}, nil },
	})
	stream, _ := b.connected(1)
	for name, want := range map[string]string{
		"fail": "no luck", "panic": "panic: what now", "large": "the result has 1048577 bytes, and 1048576 is the most",
	} {
		stream.Send(assign(handled(name, name, "")))
		report := stream.Report(name)
		if report.Outcome != pb.Outcome_OUTCOME_FAILED || report.Error != want || report.Result != nil {
			t.Errorf("%v", report)
		}
		stream.Acknowledge(name, 11, accepted)
	}
}
