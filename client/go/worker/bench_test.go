//go:build linux

package worker

import (
	"bytes"
	"context"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc"

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

	mu       sync.Mutex
	streamed []*pb.AttemptOutput
}

func newBench(t *testing.T, options Options, handlers map[string]Handler) *bench {
	t.Helper()
	coordinator := fake.New(t)
	b := &bench{T: t, coordinator: coordinator, ended: make(chan error, 1)}
	coordinator.OnWrite = b.keepOutput
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
	b.worker, b.leave = w, leave
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

// keepOutput acknowledges what is streamed to it, as a coordinator does.
func (b *bench) keepOutput(s grpc.BidiStreamingServer[pb.WriteOutputRequest, pb.WriteOutputResponse]) error {
	for {
		request, err := s.Recv()
		if err != nil {
			return err
		}
		answer := &pb.WriteOutputResponse{}
		b.mu.Lock()
		b.streamed = append(b.streamed, request.Outputs...)
		b.mu.Unlock()
		for _, output := range request.Outputs {
			last := output.Chunks[len(output.Chunks)-1]
			answer.Acknowledgements = append(answer.Acknowledgements, &pb.OutputAcknowledgement{
				AttemptId: output.AttemptId, Fence: output.Fence, Offset: last.Offset + int64(len(last.Data)),
			})
		}
		if err := s.Send(answer); err != nil {
			return err
		}
	}
}

// outputOf is what was streamed of an attempt, in the order in which it came.
func (b *bench) outputOf(attemptID string) []*pb.OutputChunk {
	b.mu.Lock()
	defer b.mu.Unlock()
	var chunks []*pb.OutputChunk
	for _, output := range b.streamed {
		if output.AttemptId == attemptID {
			chunks = append(chunks, output.Chunks...)
		}
	}
	return chunks
}

// text is what an attempt wrote, in whichever way it came: slow machines stream what quick ones report.
func (b *bench) text(report *pb.TaskReport, channel pb.OutputChannel) string {
	byOffset := map[int64]*pb.OutputChunk{}
	for _, chunk := range append(b.outputOf(report.AttemptId), report.Output...) {
		byOffset[chunk.Offset] = chunk
	}
	var made strings.Builder
	for _, offset := range slices.Sorted(maps.Keys(byOffset)) {
		if byOffset[offset].Channel == channel {
			made.Write(byOffset[offset].Data)
		}
	}
	return made.String()
}

func waitUntilGone(t *testing.T, what string, pid int) {
	t.Helper()
	for deadline := time.Now().Add(fake.GiveUp); syscall.Kill(pid, 0) == nil; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s: process %d is still there", what, pid)
		}
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
