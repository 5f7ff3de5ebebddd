//go:build linux

package worker

import (
	"slices"
	"time"

	"buildrunner.dev/parallel/internal/supervise"
	pb "buildrunner.dev/parallel/v1"
)

const rememberedAttempts = 10_000

// executor starts and stops what the book decides on. It is called with the worker's lock held, and must not
// wait.
type executor interface {
	// start hands the attempt on; it calls the book's onStarted, onRefused or finish later.
	start(*attempt)
	// stop asks it to end, and kills it after the grace where that is possible.
	stop(a *attempt, cause string, grace time.Duration)
}

// book has every attempt in the worker's hands, and knows what each word from the coordinator or from below
// means for it. Whoever calls it holds the worker's lock.
type book struct {
	executor executor
	outgoing *outgoing
	credit   *creditGauge
	slots    []bool

	attempts       map[string]*attempt
	waiting        []*attempt
	unacknowledged map[string]*attempt
	withOutput     []*attempt
	// Attempts that are over and forgotten, and whether they were given back: so that a late repetition of an
	// assignment starts nothing, and a lost answer is given again.
	finished        map[string]bool
	finishedInOrder []string

	withoutLease         bool
	draining             bool
	headLimit, tailLimit int64
	newTask              func(*attempt)
}

func newBook(slots int, e executor) *book {
	return &book{
		executor: e, outgoing: newOutgoing(), credit: &creditGauge{slots: slots}, slots: make([]bool, slots),
		attempts: map[string]*attempt{}, unacknowledged: map[string]*attempt{}, finished: map[string]bool{},
	}
}

func (b *book) isEmpty() bool { return len(b.attempts) == 0 }

func (b *book) hasProcesses() bool {
	for _, one := range b.attempts {
		if one.state == handed || one.state == running {
			return true
		}
	}
	return false
}

func (b *book) held() []*pb.HeldAttempt {
	var held []*pb.HeldAttempt
	for _, one := range b.attempts {
		if !one.disowned {
			held = append(held, one.held())
		}
	}
	return held
}

// From the coordinator

// assign takes what is new; what is known already, or was sent on an older stream, is void.
func (b *book) assign(assignments []*pb.Assignment, generation int64) {
	for _, one := range assignments {
		if one.Generation != 0 && one.Generation < generation || b.attempts[one.AttemptId] != nil {
			continue
		}
		givenBack, known := b.finished[one.AttemptId]
		if givenBack || !known && b.draining {
			b.outgoing.answer(one.AttemptId, one.Fence, false)
		}
		if known || b.draining {
			continue
		}
		weight := max(1, min(int(one.GetSpec().GetSlots()), len(b.slots)))
		taken := &attempt{Assignment: one, weight: weight}
		b.attempts[one.AttemptId] = taken
		b.waiting = append(b.waiting, taken)
	}
}

// revoke gives the attempt back unless it has started; the answer may come later.
func (b *book) revoke(revocation *pb.Revocation) {
	one := b.attempts[revocation.AttemptId]
	switch {
	case one == nil:
		b.outgoing.answer(revocation.AttemptId, revocation.Fence, false)
	case one.state == waiting:
		b.giveBack(one)
	case one.state == handed:
		one.revokeAsked = true
	default:
		b.outgoing.answer(one.AttemptId, one.Fence, true)
	}
}

func (b *book) unqueue(a *attempt) {
	b.waiting = slices.DeleteFunc(b.waiting, func(one *attempt) bool { return one == a })
}

func (b *book) giveBack(a *attempt) {
	b.unqueue(a)
	b.outgoing.answer(a.AttemptId, a.Fence, false)
	b.forget(a, true)
}

// cancel stops the attempt; its report carries the outcome that the coordinator wants.
func (b *book) cancel(cancellation *pb.Cancellation) {
	outcome := cancellation.Outcome
	if _, known := pb.Outcome_name[int32(outcome)]; !known || outcome == pb.Outcome_OUTCOME_UNSPECIFIED {
		outcome = pb.Outcome_OUTCOME_CANCELLED
	}
	one := b.attempts[cancellation.AttemptId]
	if one == nil {
		// Each time: the answer to an earlier one may be lost, and one too many is answered as stale.
		b.outgoing.report(unstarted(cancellation.AttemptId, cancellation.Fence, outcome, cancellation.Reason))
		b.remember(cancellation.AttemptId, false)
		return
	}
	if one.state == over {
		return
	}
	one.cancelOutcome, one.cancelReason = outcome, cancellation.Reason
	grace := one.grace()
	if cancellation.GraceMs != nil {
		grace = time.Duration(cancellation.GetGraceMs()) * time.Millisecond
	}
	b.stop(one, supervise.CauseCancel, grace)
}

func (b *book) stop(a *attempt, cause string, grace time.Duration) {
	switch a.state {
	case waiting:
		b.onUnstarted(a)
	case handed, running:
		b.executor.stop(a, cause, grace)
	}
}

// disown stops attempts that the coordinator does not want of us; nothing is reported.
func (b *book) disown(attemptIDs ...string) {
	for _, id := range attemptIDs {
		one := b.attempts[id]
		if one == nil || one.disowned {
			continue
		}
		one.disowned = true
		if one.state == over {
			b.forget(one, false)
		} else {
			b.stop(one, supervise.CauseCancel, one.grace())
		}
	}
}

// acknowledge lets go of a report, or of the whole attempt when it is stale.
func (b *book) acknowledge(word *pb.Acknowledgement) {
	one := b.attempts[word.AttemptId]
	if one == nil || one.Fence != word.Fence {
		return
	}
	switch word.Disposition {
	case pb.Disposition_DISPOSITION_STALE:
		b.disown(one.AttemptId)
	case pb.Disposition_DISPOSITION_OUTPUT_MISSING:
		if one.report != nil {
			b.sendOutputAgain(one, word.OutputOffset)
		}
	case pb.Disposition_DISPOSITION_ACCEPTED, pb.Disposition_DISPOSITION_DUPLICATE:
		if one.report != nil {
			b.forget(one, false)
		}
	}
}

func (b *book) sendOutputAgain(a *attempt, offset int64) {
	if a.output == nil || !a.output.streamed {
		b.outgoing.report(a.report)
		return
	}
	a.output.acknowledged = offset
	a.output.rewind()
	delete(b.unacknowledged, a.AttemptId)
	b.outgoing.dropReport(a.AttemptId)
	if !slices.Contains(b.withOutput, a) {
		b.withOutput = append(b.withOutput, a)
	}
	b.reportIfComplete(a)
}

// acknowledgeOutput: output before the offset is durable.
func (b *book) acknowledgeOutput(word *pb.OutputAcknowledgement) {
	one := b.attempts[word.AttemptId]
	if one == nil || one.Fence != word.Fence || one.output == nil {
		return
	}
	if word.Stale {
		b.disown(one.AttemptId)
		return
	}
	one.output.acknowledge(word.Offset)
	b.reportIfComplete(one)
}

// From below

func (b *book) onStarted(a *attempt, pid int, atUs int64) {
	if a.state != handed {
		return
	}
	a.state, a.pid, a.startedUs = running, pid, atUs
	b.outgoing.started[a.AttemptId] = a.started()
	if a.revokeAsked {
		a.revokeAsked = false
		b.outgoing.answer(a.AttemptId, a.Fence, true)
	}
}

func (b *book) onOutput(a *attempt, channel pb.OutputChannel, data []byte) {
	if a.state == over {
		return
	}
	if a.output == nil {
		a.output = newOutputBuffer(b.headLimit, b.tailLimit)
		b.withOutput = append(b.withOutput, a)
	}
	a.output.append(channel, data, time.Now())
}

// onNoLease: it was handed on, has not started, and may be tried again.
func (b *book) onNoLease(a *attempt) {
	b.withoutLease = true
	b.freeSlots(a)
	a.state = waiting
	if a.revokeAsked || a.disowned || a.cancelOutcome != pb.Outcome_OUTCOME_UNSPECIFIED || b.draining {
		b.onUnstarted(a)
		return
	}
	b.waiting = slices.Insert(b.waiting, 0, a)
}

// onUnstarted: it has not started and never will.
func (b *book) onUnstarted(a *attempt) {
	b.unqueue(a)
	switch {
	case a.disowned:
		b.forget(a, false)
	case a.cancelOutcome != pb.Outcome_OUTCOME_UNSPECIFIED:
		a.state = over
		a.report = unstarted(a.AttemptId, a.Fence, a.cancelOutcome, a.cancelReason)
		b.unacknowledged[a.AttemptId] = a
		b.outgoing.report(a.report)
	default:
		b.giveBack(a)
	}
}

// finish: the attempt is over, and this is the report on it.
func (b *book) finish(a *attempt, report *pb.TaskReport) {
	if a.state == over {
		return
	}
	b.freeSlots(a)
	a.state = over
	if a.startedUs != 0 {
		b.credit.ran(time.Duration(report.EndedAtUs-a.startedUs) * time.Microsecond)
	}
	if a.disowned {
		b.forget(a, false)
		return
	}
	if a.revokeAsked {
		b.outgoing.answer(a.AttemptId, a.Fence, true)
	}
	if a.startedUs != 0 {
		addAudit(report, a.GetSpec())
	}
	a.report = report
	if a.output != nil {
		a.output.finished = true
		addOutput(report, a.output)
	}
	b.reportIfComplete(a)
}

// reportIfComplete: a report leaves once its output is durable, or when it carries the output itself.
func (b *book) reportIfComplete(a *attempt) {
	if a.report == nil || b.unacknowledged[a.AttemptId] != nil {
		return
	}
	if a.output == nil || a.output.fitsInline() || a.output.isAcknowledged() {
		b.dropOutput(a)
		b.unacknowledged[a.AttemptId] = a
		a.sentAt = time.Time{}
		b.outgoing.report(a.report)
	}
}

func (b *book) dropOutput(a *attempt) {
	b.withOutput = slices.DeleteFunc(b.withOutput, func(one *attempt) bool { return one == a })
}

func (b *book) forget(a *attempt, givenBack bool) {
	delete(b.attempts, a.AttemptId)
	delete(b.unacknowledged, a.AttemptId)
	b.dropOutput(a)
	b.outgoing.forget(a.AttemptId)
	b.remember(a.AttemptId, givenBack)
}

func (b *book) remember(attemptID string, givenBack bool) {
	if _, known := b.finished[attemptID]; !known {
		b.finishedInOrder = append(b.finishedInOrder, attemptID)
	}
	b.finished[attemptID] = givenBack
	if len(b.finishedInOrder) > rememberedAttempts {
		delete(b.finished, b.finishedInOrder[0])
		b.finishedInOrder = b.finishedInOrder[1:]
	}
}

// By itself

// dispatch hands on what there is room for, first come, first served.
func (b *book) dispatch() {
	for len(b.waiting) > 0 && !b.withoutLease && b.takeSlots(b.waiting[0]) {
		one := b.waiting[0]
		b.waiting = b.waiting[1:]
		one.state = handed
		b.executor.start(one)
	}
	if change := b.credit.change(); change != 0 {
		b.outgoing.credit = int32(change)
	}
}

func (b *book) takeSlots(a *attempt) bool {
	var free []int
	for slot, isTaken := range b.slots {
		if !isTaken && len(free) < a.weight {
			free = append(free, slot)
		}
	}
	if len(free) < a.weight {
		return false
	}
	for _, slot := range free {
		b.slots[slot] = true
	}
	a.slots = free
	return true
}

func (b *book) freeSlots(a *attempt) {
	for _, slot := range a.slots {
		b.slots[slot] = false
	}
}

// repeatReports says again what has waited too long for its acknowledgement; 0 repeats everything.
func (b *book) repeatReports(now time.Time, after time.Duration) {
	for _, one := range b.unacknowledged {
		switch {
		case after > 0 && one.sentAt.IsZero():
			one.sentAt = now
		case now.Sub(one.sentAt) >= after:
			b.outgoing.report(one.report)
			one.sentAt = now
		}
	}
}

// newStream: after a break everything that is not acknowledged is said and sent again.
func (b *book) newStream(now time.Time) {
	for _, one := range b.withOutput {
		one.output.rewind()
	}
	b.repeatReports(now, 0)
	for _, one := range b.attempts {
		if one.state == running && !one.disowned {
			b.outgoing.started[one.AttemptId] = one.started()
		}
	}
}

// drain takes nothing new and gives back what has not started.
func (b *book) drain() {
	b.draining = true
	for _, one := range slices.Clone(b.waiting) {
		b.giveBack(one)
	}
}

// stopAll stops what runs; the reports say that it was on order and costs nothing.
func (b *book) stopAll(cause string, grace time.Duration) {
	for _, one := range b.attempts {
		if one.state != over {
			b.stop(one, cause, min(grace, one.grace()))
		}
	}
}

// disownAll: the store is not the one that these attempts came from.
func (b *book) disownAll() {
	for id := range b.attempts {
		b.disown(id)
	}
}

// nextOutput is at most 256 KiB of what is due, nil when nothing is. Who had a turn is last in the next one.
func (b *book) nextOutput(workerID string, now time.Time) *pb.WriteOutputRequest {
	request := &pb.WriteOutputRequest{WorkerId: workerID}
	room := outputMessageBytes
	for _, one := range slices.Clone(b.withOutput) {
		if room < leastRoom {
			break
		}
		if one.disowned || !one.output.isDue(now) {
			continue
		}
		chunks := one.output.take(room, now)
		if len(chunks) == 0 {
			continue
		}
		request.Outputs = append(request.Outputs, &pb.AttemptOutput{
			AttemptId: one.AttemptId, Fence: one.Fence, Chunks: chunks,
		})
		for _, chunk := range chunks {
			room -= len(chunk.Data) + pieceCost
		}
		b.dropOutput(one)
		b.withOutput = append(b.withOutput, one)
	}
	if len(request.Outputs) == 0 {
		return nil
	}
	return request
}
