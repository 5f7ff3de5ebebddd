//go:build linux

package worker

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	pb "buildrunner.dev/parallel/v1"
)

const (
	stdout = pb.OutputChannel_OUTPUT_CHANNEL_STDOUT
	stderr = pb.OutputChannel_OUTPUT_CHANNEL_STDERR
)

// receiver is the coordinator's side: what arrived, at its offsets.
type receiver struct {
	t       *testing.T
	offset  int64
	data    map[int64]byte
	channel map[int64]pb.OutputChannel
	dropped int64
}

func (r *receiver) take(chunks []*pb.OutputChunk) {
	r.t.Helper()
	for _, chunk := range chunks {
		if chunk.Offset-chunk.DroppedBytes != r.offset {
			r.t.Fatalf("a piece at %d, %d dropped, behind %d", chunk.Offset, chunk.DroppedBytes, r.offset)
		}
		r.dropped += chunk.DroppedBytes
		for i, one := range chunk.Data {
			r.data[chunk.Offset+int64(i)], r.channel[chunk.Offset+int64(i)] = one, chunk.Channel
		}
		r.offset = chunk.Offset + int64(len(chunk.Data))
	}
}

func TestWhateverIsWrittenSentAndBrokenOffTheBeginningAndTheEndArriveWhole(t *testing.T) {
	for seed := range uint64(300) {
		random := rand.New(rand.NewPCG(seed, 1))
		head, tail := random.Int64N(300), random.Int64N(300)
		if head == 0 && tail == 0 {
			head = 1
		}
		buffer := newOutputBuffer(head, tail)
		received := &receiver{t, 0, map[int64]byte{}, map[int64]pb.OutputChannel{}, 0}
		var whole []byte
		var channels []pb.OutputChannel
		now := time.Unix(1000, 0)
		for range random.IntN(60) {
			now = now.Add(time.Duration(random.IntN(500)) * time.Millisecond)
			switch random.IntN(4) {
			case 0, 1:
				data := make([]byte, random.IntN(80))
				for i := range data {
					data[i] = byte(random.IntN(256))
					channels = append(channels, []pb.OutputChannel{stdout, stderr}[len(whole)/50%2])
				}
				for i := range data {
					buffer.append(channels[len(whole)+i], data[i:i+1], now)
				}
				whole = append(whole, data...)
			case 2:
				if buffer.isDue(now) {
					received.take(buffer.take(1+random.IntN(200), now))
					if random.IntN(2) == 0 {
						buffer.acknowledge(received.offset)
					}
				}
			case 3:
				buffer.rewind()
				received.offset = buffer.acknowledged
			}
		}
		buffer.finished = true
		total := int64(len(whole))
		for buffer.next < buffer.total {
			received.take(buffer.take(1+random.IntN(200), now))
		}
		buffer.acknowledge(received.offset)
		if received.offset != total || buffer.total != total || !buffer.isAcknowledged() {
			t.Fatalf("seed %d: %d of %d bytes", seed, received.offset, total)
		}
		for i := range total {
			value, ok := received.data[i]
			if isKept := i < head || i >= total-tail; isKept && !ok {
				t.Fatalf("seed %d: byte %d of %d is missing, head %d, tail %d", seed, i, total, head, tail)
			}
			if ok && (value != whole[i] || received.channel[i] != channels[i]) {
				t.Fatalf("seed %d: byte %d differs", seed, i)
			}
		}
		if want := max(total-head-tail, 0); buffer.dropped() != want {
			t.Fatalf("seed %d: %d dropped, not %d", seed, buffer.dropped(), want)
		}
	}
}

func TestMemoryIsBoundedByWhatIsKept(t *testing.T) {
	buffer := newOutputBuffer(1000, 500)
	for range 1000 {
		buffer.append(stdout, bytes.Repeat([]byte("x"), 100), time.Now())
	}
	held := 0
	for _, one := range append(buffer.head, buffer.tail...) {
		held += len(one.data)
	}
	if held != 1500 {
		t.Errorf("%d bytes held", held)
	}
}

func TestSmallOutputTravelsInTheReport(t *testing.T) {
	now := time.Now()
	buffer := newOutputBuffer(0, 0)
	buffer.append(stdout, []byte("out"), now)
	buffer.append(stderr, []byte("err"), now)
	if buffer.isDue(now) {
		t.Error("it is sent at once")
	}
	if !buffer.isDue(now.Add(streamAfter)) {
		t.Error("it is never shown while the task runs")
	}
	buffer.finished = true
	report := &pb.TaskReport{}
	addOutput(report, buffer)
	if len(report.Output) != 2 || report.OutputBytes != 6 || string(report.Output[1].Data) != "err" {
		t.Errorf("%v", report)
	}
	buffer.append(stdout, make([]byte, inlineLimit), now)
	if buffer.fitsInline() {
		t.Error("too much for a report")
	}
}

func TestOutputOfManyIsSentInTurns(t *testing.T) {
	b := newBook(2, nil)
	for _, id := range []string{"a", "b"} {
		one := &attempt{Assignment: &pb.Assignment{AttemptId: id}, state: running}
		b.attempts[id] = one
		b.onOutput(one, stdout, make([]byte, 1<<20))
	}
	now, turns := time.Now(), ""
	for range 4 {
		for _, output := range b.nextOutput("w", now).Outputs {
			size := 0
			for _, chunk := range output.Chunks {
				size += len(chunk.Data)
			}
			if size > outputMessageBytes {
				t.Errorf("%d bytes in one message", size)
			}
			turns += output.AttemptId
		}
	}
	if turns != "abab" {
		t.Errorf("turns %s", turns)
	}
}

func TestOutputThatIsMissingIsSentAgainAndThenTheReport(t *testing.T) {
	b := newBook(1, nil)
	one := &attempt{Assignment: &pb.Assignment{AttemptId: "a", Fence: 3}, state: running, startedUs: 1}
	b.attempts["a"] = one
	b.onOutput(one, stdout, make([]byte, 100<<10))
	b.nextOutput("w", time.Now())
	b.acknowledgeOutput(&pb.OutputAcknowledgement{AttemptId: "a", Fence: 3, Offset: 50 << 10})
	b.finish(one, one.newReport(pb.Outcome_OUTCOME_SUCCEEDED, 2))
	if len(b.outgoing.reports) != 0 {
		t.Fatal("the report leaves before its output is durable")
	}
	b.acknowledgeOutput(&pb.OutputAcknowledgement{AttemptId: "a", Fence: 3, Offset: 100 << 10})
	if len(b.outgoing.take().Reports) != 1 {
		t.Fatal("no report")
	}
	// The coordinator lost what it had said to have.
	b.acknowledge(&pb.Acknowledgement{
		AttemptId: "a", Fence: 3, Disposition: pb.Disposition_DISPOSITION_OUTPUT_MISSING, OutputOffset: 60 << 10,
	})
	request := b.nextOutput("w", time.Now())
	if request == nil || len(b.outgoing.reports) != 0 {
		t.Fatalf("%v, reports %v", request, b.outgoing.reports)
	}
	chunk := request.Outputs[0].Chunks[0]
	if chunk.Offset != 100<<10 || chunk.DroppedBytes != 40<<10 {
		t.Errorf("what was let go is told as a gap: %v", chunk)
	}
	b.acknowledgeOutput(&pb.OutputAcknowledgement{AttemptId: "a", Fence: 3, Offset: 100 << 10})
	if len(b.outgoing.take().Reports) != 1 {
		t.Error("no second report")
	}
}

func TestCreditFollowsTheLengthOfTasks(t *testing.T) {
	gauge := &creditGauge{slots: 4}
	gauge.reset()
	if gauge.initial() != 5 || gauge.change() != 0 {
		t.Error("it changes before anything is known")
	}
	gauge.ran(time.Hour)
	if got := gauge.change(); got != 4 {
		t.Errorf("long tasks: %d", got)
	}
	for range 200 {
		gauge.ran(time.Millisecond)
	}
	if got := gauge.change(); got <= 50 || got > 4+mostAhead {
		t.Errorf("short tasks: %d", got)
	}
	if got := gauge.change(); got != 0 {
		t.Errorf("told twice: %d", got)
	}
}

func TestTheEnvironmentOfTasksIsAnAllowList(t *testing.T) {
	env := baseEnvironment([]string{
		"PATH=/bin", "LC_ALL=C", "XDG_DATA_HOME=/x", "https_proxy=p", "HTTP_PROXY=q", "AWS_SECRET=s", "BR_TOKEN=t",
		"BR_TOKEN_FILE=f", "MY_ONE=1", "MY_TWO=2", "ODD",
	}, []string{"MY_*", "BR_*"})
	want := "HTTP_PROXY=q LC_ALL=C MY_ONE=1 MY_TWO=2 PATH=/bin XDG_DATA_HOME=/x https_proxy=p"
	if got := strings.Join(entries(env), " "); got != want {
		t.Errorf("%s", got)
	}
}

func TestWhereATaskRuns(t *testing.T) {
	for _, one := range []struct{ worktree, path, want string }{
		{"", "", "/home"}, {"", "a/b", "/home/a/b"}, {"/repo", "", "/repo"}, {"/repo", "a", "/repo/a"}, {"/repo", "/abs", "/abs"},
	} {
		if got := workingDirectory(&pb.WorkingDirectory{Worktree: one.worktree, Path: one.path}, "/home"); got != one.want {
			t.Errorf("%+v: %s", one, got)
		}
	}
	if got := workingDirectory(nil, "/home"); got != "/home" {
		t.Errorf("none: %s", got)
	}
}

func TestMessagesStayWithinAMegabyteOrSo(t *testing.T) {
	out := newOutgoing()
	for i := range 10 {
		out.report(&pb.TaskReport{AttemptId: fmt.Sprint(i), Result: &pb.Payload{Data: make([]byte, 400<<10)}})
	}
	for i := range mostItems + 1 {
		out.started[fmt.Sprint(i)] = &pb.TaskStarted{}
	}
	first := out.take()
	if len(first.Reports) != 3 || len(first.Started) != mostItems || out.isEmpty() {
		t.Errorf("%d reports, %d starts", len(first.Reports), len(first.Started))
	}
	if again := out.take(); len(again.Started) != 1 || again.Reports[0].AttemptId != "3" {
		t.Errorf("%d starts", len(again.Started))
	}
}
