//go:build linux

package worker

import (
	"bytes"
	"context"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	pb "buildrunner.dev/parallel/v1"
)

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
	output := b.text(report, pb.OutputChannel_OUTPUT_CHANNEL_STDOUT)
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
	if errors := b.text(report, pb.OutputChannel_OUTPUT_CHANNEL_STDERR); errors != "oops\n" {
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

func TestLargeOutputIsDurableBeforeTheReport(t *testing.T) {
	b := newBench(t, Options{}, nil)
	stream, _ := b.connected(1)
	stream.Send(assign(command("a1", "yes 0123456 | head -c 400000")))
	report := stream.Report("a1")
	var whole bytes.Buffer
	for _, chunk := range b.outputOf("a1") {
		if chunk.Offset != int64(whole.Len()) || chunk.DroppedBytes != 0 {
			t.Fatalf("a piece at %d behind %d bytes", chunk.Offset, whole.Len())
		}
		whole.Write(chunk.Data)
	}
	want := strings.Repeat("0123456\n", 50_000)
	if whole.String() != want || report.OutputBytes != 400_000 || len(report.Output) != 0 || report.OutputDroppedBytes != 0 {
		t.Errorf("%d bytes arrived, %v", whole.Len(), report)
	}
}
