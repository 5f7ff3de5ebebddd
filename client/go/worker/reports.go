//go:build linux

package worker

import (
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/sys/unix"
	"google.golang.org/protobuf/proto"

	"buildrunner.dev/parallel/internal/supervise"
	pb "buildrunner.dev/parallel/v1"
)

const errorLimit = 4096

// oneLine is at most 4 KiB of UTF-8 without line breaks.
func oneLine(text string) string { return cut(text, errorLimit) }

func cut(text string, limit int) string {
	text = strings.Join(strings.Fields(strings.ToValidUTF8(text, string(utf8.RuneError))), " ")
	if len(text) <= limit {
		return text
	}
	return strings.ToValidUTF8(text[:limit], "")
}

func (a *attempt) newReport(outcome pb.Outcome, endedUs int64) *pb.TaskReport {
	return &pb.TaskReport{
		AttemptId: a.AttemptId, Fence: a.Fence, Outcome: outcome, Pid: int32(a.pid),
		StartedAtUs: a.startedUs, EndedAtUs: endedUs, Slot: a.slot(),
	}
}

// endedReport is on a process that ran, with what it left in its result and error files.
func (a *attempt) endedReport(how *supervise.Ended, result []byte, hasResult bool, told string) *pb.TaskReport {
	outcome := pb.Outcome_OUTCOME_SUCCEEDED
	switch {
	case how.Cause != "":
		outcome = a.outcomeOf(how.Cause)
	case how.Signal != 0 || how.ExitCode != 0:
		outcome = pb.Outcome_OUTCOME_FAILED
	}
	report := a.newReport(outcome, how.EndedAtUs)
	report.Signal = int32(how.Signal)
	report.Usage = &pb.ResourceUsage{
		UserCpuUs: how.UserUs, SystemCpuUs: how.SystemUs, MaxRssBytes: how.MaxRSSBytes,
	}
	if how.Signal == 0 {
		report.ExitCode = proto.Int32(int32(how.ExitCode))
	}
	if hasResult {
		report.Result = &pb.Payload{Data: result}
	}
	if told == "" && outcome != pb.Outcome_OUTCOME_SUCCEEDED {
		told = a.why(how)
	}
	report.Error = oneLine(told)
	return report
}

func (a *attempt) why(how *supervise.Ended) string {
	if how.Cause != "" {
		return a.whyStopped(how.Cause)
	}
	fact := fmt.Sprintf("exit code %d", how.ExitCode)
	if how.Signal != 0 {
		name := unix.SignalName(unix.Signal(how.Signal))
		if name == "" {
			name = fmt.Sprintf("signal %d", how.Signal)
		}
		fact = "killed by " + name
	}
	if a.output != nil {
		if line := lastLine(a.output.lastErrors); line != "" {
			return fact + ": " + line
		}
	}
	return fact
}

func (a *attempt) whyStopped(cause string) string {
	switch {
	case cause == supervise.CauseTimeout:
		return fmt.Sprintf("stopped after its timeout of %g s", a.timeout().Seconds())
	case a.cancelReason != "":
		return a.cancelReason
	}
	return "stopped: " + cause
}

func lastLine(text []byte) string {
	lines := strings.Split(strings.TrimSpace(strings.ToValidUTF8(string(text), string(utf8.RuneError))), "\n")
	return strings.TrimSpace(lines[len(lines)-1])
}

// handledReport is on a handler that returned.
func (a *attempt) handledReport(result Result, err error) *pb.TaskReport {
	report := a.newReport(pb.Outcome_OUTCOME_SUCCEEDED, time.Now().UnixMicro())
	switch {
	case a.cause != "":
		report.Outcome, report.Error = a.outcomeOf(a.cause), oneLine(a.whyStopped(a.cause))
	case err != nil:
		report.Outcome, report.Error = pb.Outcome_OUTCOME_FAILED, oneLine(err.Error())
		if report.Error == "" {
			report.Error = "the handler failed without a word"
		}
	case len(result.Data) > resultLimit:
		report.Outcome = pb.Outcome_OUTCOME_FAILED
		report.Error = fmt.Sprintf("the result has %d bytes, and %d is the most", len(result.Data), resultLimit)
	default:
		if result.Data != nil || result.ContentType != "" {
			report.Result = &pb.Payload{Data: result.Data, ContentType: result.ContentType}
		}
	}
	return report
}

func (a *attempt) notStarted(message string, workerFault bool) *pb.TaskReport {
	return &pb.TaskReport{
		AttemptId: a.AttemptId, Fence: a.Fence, Outcome: pb.Outcome_OUTCOME_NOT_STARTED,
		Error: oneLine(message), EndedAtUs: time.Now().UnixMicro(), WorkerFault: workerFault,
	}
}

// unstarted is the report on an attempt that was told to stop before it started.
func unstarted(attemptID string, fence int64, outcome pb.Outcome, reason string) *pb.TaskReport {
	return &pb.TaskReport{
		AttemptId: attemptID, Fence: fence, Outcome: outcome, Error: oneLine(reason),
		EndedAtUs: time.Now().UnixMicro(),
	}
}

// addOutput adds final offsets, and the whole output when it is small.
func addOutput(report *pb.TaskReport, output *outputBuffer) {
	report.OutputBytes, report.OutputDroppedBytes = output.total, output.dropped()
	if output.fitsInline() {
		report.Output = output.all()
	}
}

// addAudit says of a task that wants its changes looked at that this worker does not look.
func addAudit(report *pb.TaskReport, spec *pb.TaskSpec) {
	isWanted := spec.GetAudit() == pb.AuditMode_AUDIT_MODE_ON
	for _, file := range spec.GetFiles() {
		isWanted = isWanted || !strings.HasPrefix(file.GetPath(), "res:")
	}
	if isWanted && spec.GetAudit() != pb.AuditMode_AUDIT_MODE_OFF {
		report.Audit = &pb.AuditReport{Failure: "not audited: the worker that ran it, one in Go, does not audit"}
	}
}
