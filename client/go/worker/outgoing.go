//go:build linux

package worker

import (
	"maps"
	"slices"

	"google.golang.org/protobuf/proto"

	pb "buildrunner.dev/parallel/v1"
)

const (
	mostItems       = 500
	mostReportBytes = 1 << 20
)

// outgoing is what waits to be said on the worker's stream, gathered into as few messages as possible.
type outgoing struct {
	started  map[string]*pb.TaskStarted
	progress map[string]*pb.TaskProgress
	answers  map[string]*pb.RevocationAnswer
	reports  []*pb.TaskReport
	credit   int32
}

func newOutgoing() *outgoing {
	return &outgoing{
		started: map[string]*pb.TaskStarted{}, progress: map[string]*pb.TaskProgress{},
		answers: map[string]*pb.RevocationAnswer{},
	}
}

func (o *outgoing) isEmpty() bool {
	return len(o.started) == 0 && len(o.progress) == 0 && len(o.answers) == 0 && len(o.reports) == 0 && o.credit == 0
}

// report: a start that was not told yet need not be told any more, nor progress.
func (o *outgoing) report(report *pb.TaskReport) {
	o.dropReport(report.AttemptId)
	o.reports = append(o.reports, report)
	delete(o.progress, report.AttemptId)
	switch report.Outcome {
	case pb.Outcome_OUTCOME_REVOKED, pb.Outcome_OUTCOME_CANCELLED:
	default:
		delete(o.started, report.AttemptId)
	}
}

func (o *outgoing) dropReport(attemptID string) {
	o.reports = slices.DeleteFunc(o.reports, func(one *pb.TaskReport) bool { return one.AttemptId == attemptID })
}

func (o *outgoing) answer(attemptID string, fence int64, started bool) {
	o.answers[attemptID] = &pb.RevocationAnswer{AttemptId: attemptID, Fence: fence, Started: started}
}

// forget: nothing is to be said about the attempt any more, but an answer that is owed.
func (o *outgoing) forget(attemptID string) {
	o.dropReport(attemptID)
	delete(o.started, attemptID)
	delete(o.progress, attemptID)
}

// take gives the next message, of a size that any coordinator accepts; the rest stays.
func (o *outgoing) take() *pb.ConnectRequest {
	request := &pb.ConnectRequest{
		Credit:            o.credit,
		RevocationAnswers: takeSome(o.answers),
		Started:           takeSome(o.started),
		Progress:          takeSome(o.progress),
	}
	o.credit = 0
	size := 0
	for len(o.reports) > 0 && len(request.Reports) < mostItems && size < mostReportBytes {
		size += proto.Size(o.reports[0])
		request.Reports = append(request.Reports, o.reports[0])
		o.reports = o.reports[1:]
	}
	return request
}

func takeSome[T any](parts map[string]T) []T {
	var taken []T
	for _, id := range slices.Sorted(maps.Keys(parts)) {
		if len(taken) == mostItems {
			break
		}
		taken = append(taken, parts[id])
		delete(parts, id)
	}
	return taken
}
