//go:build linux

package worker

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	"buildrunner.dev/parallel/client"
	"buildrunner.dev/parallel/internal/fake"
	pb "buildrunner.dev/parallel/v1"
)

const (
	accepted = pb.Disposition_DISPOSITION_ACCEPTED
	stale    = pb.Disposition_DISPOSITION_STALE
)

// bench is a worker that runs, and the coordinator that the test plays.
type bench struct {
	*testing.T
	coordinator *fake.Coordinator
	worker      *Worker
	leave       context.CancelFunc
	ended       chan error
}

func newBench(t *testing.T, options Options, handlers map[string]Handler) *bench {
	t.Helper()
	coordinator := fake.New(t)
	coordinator.OnUnary = func(_ context.Context, method string, _ any) (any, error) {
		if method == "DrainWorker" {
			return &pb.DrainWorkerResponse{}, nil
		}
		return nil, nil
	}
	coordinator.Start(t)
	c, err := client.New(client.WithAddress(coordinator.Address), client.WithToken(fake.Token))
	if err != nil {
		t.Fatal(err)
	}
	options.Logger = slog.New(slog.NewTextHandler(testWriter{t}, nil))
	options.Directory = t.TempDir()
	w := New(c, options)
	w.stopLimit = 50 * time.Millisecond // nobody will take the reports of what a test leaves running
	for name, handler := range handlers {
		w.Handle(name, handler)
	}
	ctx, leave := context.WithCancel(context.Background())
	b := &bench{t, coordinator, w, leave, make(chan error, 1)}
	done := make(chan struct{})
	go func() {
		defer close(done)
		b.ended <- w.Run(ctx)
	}()
	t.Cleanup(func() {
		leave()
		w.Stop()
		coordinator.Stop()
		<-done
		_ = c.Close()
	})
	return b
}

type testWriter struct{ testing.TB }

func (w testWriter) Write(text []byte) (int, error) {
	w.Logf("%s", bytes.TrimSpace(text))
	return len(text), nil
}

func (b *bench) mustEnd() error {
	b.Helper()
	select {
	case err := <-b.ended:
		return err
	case <-time.After(fake.GiveUp):
		b.Fatal("Run does not return")
	}
	return nil
}

func welcome(generation int64) *pb.ConnectResponse {
	return &pb.ConnectResponse{Welcome: &pb.Welcome{
		WorkerId: "abcd1234", Generation: generation, StoreId: "store", Epoch: 7, HeartbeatIntervalMs: 100,
		LeaseMs: 600_000, StopAfterMs: 500_000, KillAfterMs: 550_000, ReportRepeatMs: 300,
		OutputHeadBytes: 1 << 20, OutputTailBytes: 1 << 18,
	}}
}

// connected waits for the worker and welcomes it.
func (b *bench) connected(generation int64) (*fake.WorkerStream, *pb.Hello) {
	b.Helper()
	stream, hello := b.coordinator.NextWorker(b)
	stream.Send(welcome(generation))
	return stream, hello
}

func command(attemptID, line string) *pb.Assignment {
	return &pb.Assignment{
		AttemptId: attemptID, Fence: 11, SessionId: "5e551011", SessionName: "S", Number: 2, Generation: 1,
		Spec: &pb.TaskSpec{
			TaskId: "task-" + attemptID,
			Work:   &pb.TaskSpec_Command{Command: &pb.CommandWork{ShellLine: line}},
		},
	}
}

func handled(attemptID, name string, payload string) *pb.Assignment {
	assignment := command(attemptID, "")
	assignment.Spec.Work = &pb.TaskSpec_Handler{Handler: &pb.HandlerWork{
		Name: name, Payload: &pb.Payload{Data: []byte(payload), ContentType: "text/plain"},
	}}
	return assignment
}

func assign(assignments ...*pb.Assignment) *pb.ConnectResponse {
	return &pb.ConnectResponse{Assignments: assignments}
}

func text(report *pb.TaskReport, channel pb.OutputChannel) string {
	var made strings.Builder
	for _, chunk := range report.Output {
		if chunk.Channel == channel {
			made.Write(chunk.Data)
		}
	}
	return made.String()
}

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

func nothing(context.Context, *Task) (Result, error) { return Result{}, nil }

func TestACommandIsStartedAndReportedUntilItIsAcknowledged(t *testing.T) {
	t.Setenv("BR_TOKEN", "secret")
	t.Setenv("BR_TEST_HIDDEN", "hidden")
	b := newBench(t, Options{}, nil)
	stream, _ := b.connected(1)
	assignment := command("a1", "env | grep ^BR_ | sort; pwd; echo oops >&2; printf done > $BR_RESULT_FILE; "+
		"echo first > $BR_ERROR_FILE; echo its own words >> $BR_ERROR_FILE; exit 4")
	assignment.Spec.Environment = map[string]string{"BR_TOKEN": "secret", "BR_TEST_SET": "set"}
	assignment.Spec.PassedEnvironment = map[string]string{"BR_TEST_SET": "passed", "BR_TEST_PASSED": "passed"}
	stream.Send(assign(assignment, assignment))
	report := stream.Report("a1")
	for i := range 2 {
		if again := stream.Report("a1"); !proto.Equal(again, report) {
			t.Errorf("repetition %d differs:\n%v\n%v", i, again, report)
		}
	}
	stream.Acknowledge("a1", 11, accepted)
	stream.Until("a heartbeat without it", func(r *pb.ConnectRequest) bool {
		return r.Heartbeat != nil && len(r.Heartbeat.Held) == 0
	})
	if report.Outcome != pb.Outcome_OUTCOME_FAILED || report.GetExitCode() != 4 || report.Fence != 11 ||
		report.Error != "its own words" || string(report.Result.GetData()) != "done" || report.Pid == 0 ||
		report.StartedAtUs == 0 || report.EndedAtUs < report.StartedAtUs || report.Usage.GetMaxRssBytes() == 0 {
		t.Errorf("%v", report)
	}
	output := text(report, pb.OutputChannel_OUTPUT_CHANNEL_STDOUT)
	for _, line := range []string{
		"BR_ATTEMPT=2", "BR_ATTEMPT_ID=a1", "BR_FENCE=11", "BR_SESSION_ID=5e551011", "BR_SESSION_NAME=S", "BR_SLOT=0",
		"BR_TASK_ID=task-a1", "BR_WORKER_ID=abcd1234", "BR_TEST_SET=set", "BR_TEST_PASSED=passed",
		"BR_COORDINATOR=" + b.coordinator.Address, b.worker.options.Directory,
	} {
		if !strings.Contains(output, line+"\n") {
			t.Errorf("no line %s in\n%s", line, output)
		}
	}
	if strings.Contains(output, "secret") || strings.Contains(output, "hidden") {
		t.Errorf("the task sees too much:\n%s", output)
	}
	if errors := text(report, pb.OutputChannel_OUTPUT_CHANNEL_STDERR); errors != "oops\n" {
		t.Errorf("standard error %q", errors)
	}
	if report.OutputBytes != int64(len(output)+len("oops\n")) {
		t.Errorf("%d bytes of output, not %d", report.OutputBytes, len(output)+len("oops\n"))
	}
}

func TestWhatIsVoidStartsNothing(t *testing.T) {
	b := newBench(t, Options{}, nil)
	stream, _ := b.connected(5)
	old := command("old", "exit 0")
	old.Generation = 4
	now := command("now", "exit 0")
	now.Generation = 5
	stream.Send(assign(old, now))
	stream.Report("now")
	stream.Acknowledge("now", 11, accepted)
	stream.Send(assign(now))
	next := command("next", "exit 0")
	next.Generation = 5
	stream.Send(assign(next))
	stream.Until("the next report", func(r *pb.ConnectRequest) bool {
		for _, report := range r.Reports {
			if report.AttemptId == "old" || report.AttemptId == "now" {
				t.Errorf("a void assignment ran: %v", report)
			}
		}
		return len(r.Reports) > 0 && r.Reports[len(r.Reports)-1].AttemptId == "next"
	})
}

func TestARevocationIsAnsweredByWhetherItHasStarted(t *testing.T) {
	b := newBench(t, Options{}, nil)
	stream, _ := b.connected(1)
	stream.Send(assign(command("runs", "sleep 1000"), command("waits", "exit 0")))
	stream.Started("runs")
	stream.Send(&pb.ConnectResponse{Revocations: []*pb.Revocation{
		{AttemptId: "runs", Fence: 11}, {AttemptId: "waits", Fence: 11}, {AttemptId: "unknown", Fence: 3},
	}})
	answers := map[string]bool{}
	stream.Until("three answers", func(r *pb.ConnectRequest) bool {
		for _, answer := range r.RevocationAnswers {
			answers[answer.AttemptId] = answer.Started
		}
		return len(answers) == 3
	})
	if !answers["runs"] || answers["waits"] || answers["unknown"] {
		t.Errorf("%v", answers)
	}
}

func TestACancelledCommandIsReportedWithTheOutcomeAskedFor(t *testing.T) {
	b := newBench(t, Options{}, nil)
	stream, _ := b.connected(1)
	stream.Send(assign(command("a1", "trap 'exit 0' TERM; while :; do sleep 0.01; done"), command("a2", "exit 0")))
	stream.Started("a1")
	stream.Send(&pb.ConnectResponse{Cancellations: []*pb.Cancellation{
		{AttemptId: "a2", Fence: 11, Outcome: pb.Outcome_OUTCOME_CANCELLED, Reason: "not wanted"},
		{AttemptId: "a1", Fence: 11, Outcome: pb.Outcome_OUTCOME_LOCK_LOST, Reason: "its lock is gone"},
		{AttemptId: "never", Fence: 12, Outcome: pb.Outcome_OUTCOME_REVOKED},
	}})
	reports := map[string]*pb.TaskReport{}
	stream.Until("three reports", func(r *pb.ConnectRequest) bool {
		for _, report := range r.Reports {
			reports[report.AttemptId] = report
		}
		return len(reports) == 3
	})
	if one := reports["a1"]; one.Outcome != pb.Outcome_OUTCOME_LOCK_LOST || one.Error != "its lock is gone" {
		t.Errorf("%v", one)
	}
	if one := reports["a2"]; one.Outcome != pb.Outcome_OUTCOME_CANCELLED || one.StartedAtUs != 0 {
		t.Errorf("%v", one)
	}
	if one := reports["never"]; one.Outcome != pb.Outcome_OUTCOME_REVOKED || one.Fence != 12 {
		t.Errorf("%v", one)
	}
}

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
		text(report, pb.OutputChannel_OUTPUT_CHANNEL_STDOUT) != "working on task-h1" || report.ExitCode != nil {
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

func TestWhatThisWorkerCannotDoIsRefusedHonestly(t *testing.T) {
	b := newBench(t, Options{NoCommands: true}, nil)
	stream, hello := b.connected(1)
	if hello.Kinds.Commands {
		t.Error("it offers commands")
	}
	isolated := handled("isolated", "any", "")
	isolated.Spec.Isolation = pb.IsolationMode_ISOLATION_MODE_WORKTREE
	external := command("external", "")
	external.Spec.Work = &pb.TaskSpec_External{External: &pb.ExternalWork{}}
	unknown := command("unknown", "")
	unknown.Spec.Work = nil
	for _, one := range []*pb.Assignment{
		isolated, external, unknown, command("command", "exit 0"), handled("handler", "absent", ""),
	} {
		stream.Send(assign(one))
		report := stream.Report(one.AttemptId)
		if report.Outcome != pb.Outcome_OUTCOME_NOT_STARTED || report.Error == "" || report.WorkerFault {
			t.Errorf("%s: %v", one.AttemptId, report)
		}
		stream.Acknowledge(one.AttemptId, 11, accepted)
	}
}

func TestATaskThatIsAuditedIsToldThatItWasNot(t *testing.T) {
	b := newBench(t, Options{}, nil)
	stream, _ := b.connected(1)
	audited, resource, off := command("audited", "true"), command("resource", "true"), command("off", "true")
	audited.Spec.Files = []*pb.PathRequest{{Path: "src/a.py"}}
	resource.Spec.Files = []*pb.PathRequest{{Path: "res:db"}}
	off.Spec.Files, off.Spec.Audit = audited.Spec.Files, pb.AuditMode_AUDIT_MODE_OFF
	for _, one := range []*pb.Assignment{audited, resource, off} {
		stream.Send(assign(one))
		report := stream.Report(one.AttemptId)
		if (report.Audit.GetFailure() != "") != (one == audited) {
			t.Errorf("%s: %v", one.AttemptId, report.Audit)
		}
		stream.Acknowledge(one.AttemptId, 11, accepted)
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

func waitUntilGone(t *testing.T, what string, pid int) {
	t.Helper()
	for deadline := time.Now().Add(fake.GiveUp); syscall.Kill(pid, 0) == nil; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s: process %d is still there", what, pid)
		}
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

func TestLargeOutputIsDurableBeforeTheReport(t *testing.T) {
	b := newBench(t, Options{}, nil)
	received := make(chan *pb.AttemptOutput, 1024)
	b.coordinator.OnWrite = func(s grpc.BidiStreamingServer[pb.WriteOutputRequest, pb.WriteOutputResponse]) error {
		for {
			request, err := s.Recv()
			if err != nil {
				return err
			}
			for _, output := range request.Outputs {
				received <- output
				last := output.Chunks[len(output.Chunks)-1]
				_ = s.Send(&pb.WriteOutputResponse{Acknowledgements: []*pb.OutputAcknowledgement{
					{AttemptId: output.AttemptId, Fence: output.Fence, Offset: last.Offset + int64(len(last.Data))},
				}})
			}
		}
	}
	stream, _ := b.connected(1)
	stream.Send(assign(command("a1", "yes 0123456 | head -c 400000")))
	report := stream.Report("a1")
	close(received)
	var whole bytes.Buffer
	for output := range received {
		for _, chunk := range output.Chunks {
			if chunk.Offset != int64(whole.Len()) || chunk.DroppedBytes != 0 {
				t.Fatalf("a piece at %d behind %d bytes", chunk.Offset, whole.Len())
			}
			whole.Write(chunk.Data)
		}
	}
	want := strings.Repeat("0123456\n", 50_000)
	if whole.String() != want || report.OutputBytes != 400_000 || len(report.Output) != 0 || report.OutputDroppedBytes != 0 {
		t.Errorf("%d bytes arrived, %v", whole.Len(), report)
	}
}

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

func (b *bench) mustBeLeaving() {
	b.Helper()
	for until := time.Now().Add(fake.GiveUp); time.Now().Before(until); time.Sleep(time.Millisecond) {
		b.worker.mu.Lock()
		isLeaving := b.worker.leaving
		b.worker.mu.Unlock()
		if isLeaving {
			return
		}
	}
	b.Fatal("it does not drain")
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
