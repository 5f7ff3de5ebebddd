// Package fake is a coordinator for tests, in the test's own process: it does what the test says, over a unix
// socket and gRPC as the real one.
package fake

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/protoadapt"

	pb "buildrunner.dev/parallel/v1"
)

// GiveUp is far beyond what any machine needs: no test passes because something was quick.
const GiveUp = 60 * time.Second

// Token that the coordinator takes.
const Token = "the-token"

// Coordinator has a field for each call that a test may answer; those left out are UNIMPLEMENTED.
type Coordinator struct {
	Address string

	OnUnary  func(ctx context.Context, method string, request any) (any, error)
	OnWatch  func(*pb.WatchRequest, grpc.ServerStreamingServer[pb.WatchResponse]) error
	OnRead   func(*pb.ReadOutputRequest, grpc.ServerStreamingServer[pb.ReadOutputResponse]) error
	OnWrite  func(grpc.BidiStreamingServer[pb.WriteOutputRequest, pb.WriteOutputResponse]) error
	OnPlan   func(grpc.ClientStreamingServer[pb.SubmitPlanRequest, pb.SubmitPlanResponse]) error
	Workers  chan *WorkerStream
	NoTokens bool

	mu     sync.Mutex
	server *grpc.Server

	pb.UnimplementedCoordinatorServiceServer
	pb.UnimplementedEventServiceServer
	pb.UnimplementedLockServiceServer
	pb.UnimplementedLogServiceServer
	pb.UnimplementedSessionServiceServer
	pb.UnimplementedTaskServiceServer
	pb.UnimplementedWorkerServiceServer
}

// New makes one that listens in a folder of its own; set its fields, then call Start.
func New(t *testing.T) *Coordinator {
	t.Helper()
	folder, err := os.MkdirTemp("", "br") // t.TempDir may be too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	c := &Coordinator{Address: "unix:" + filepath.Join(folder, "s"), Workers: make(chan *WorkerStream, 16)}
	t.Cleanup(func() {
		c.Stop()
		_ = os.RemoveAll(folder)
	})
	return c
}

// Start serves; after Stop it comes back at the same address.
func (c *Coordinator) Start(t *testing.T) {
	t.Helper()
	path := c.Address[len("unix:"):]
	_ = os.Remove(path)
	listener, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer(
		grpc.UnaryInterceptor(c.unary),
		grpc.StreamInterceptor(func(s any, stream grpc.ServerStream, _ *grpc.StreamServerInfo, h grpc.StreamHandler) error {
			if err := c.check(stream.Context()); err != nil {
				return err
			}
			return h(s, stream)
		}),
	)
	pb.RegisterCoordinatorServiceServer(server, c)
	pb.RegisterEventServiceServer(server, c)
	pb.RegisterLockServiceServer(server, c)
	pb.RegisterLogServiceServer(server, c)
	pb.RegisterSessionServiceServer(server, c)
	pb.RegisterTaskServiceServer(server, c)
	pb.RegisterWorkerServiceServer(server, c)
	c.mu.Lock()
	c.server = server
	c.mu.Unlock()
	go func() { _ = server.Serve(listener) }()
}

// Stop breaks every call off.
func (c *Coordinator) Stop() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.server != nil {
		c.server.Stop()
		c.server = nil
	}
}

func (c *Coordinator) check(ctx context.Context) error {
	found, _ := metadata.FromIncomingContext(ctx)
	if given := found.Get("authorization"); c.NoTokens || len(given) != 1 || given[0] != "Bearer "+Token {
		return Refusal(codes.Unauthenticated, "UNAUTHENTICATED", "No valid token.")
	}
	return nil
}

func (c *Coordinator) unary(
	ctx context.Context, request any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler,
) (any, error) {
	if err := c.check(ctx); err != nil {
		return nil, err
	}
	if c.OnUnary != nil {
		if answer, err := c.OnUnary(ctx, filepath.Base(info.FullMethod), request); answer != nil || err != nil {
			return answer, err
		}
	}
	return handler(ctx, request)
}

// Refusal is an error as the coordinator makes them.
func Refusal(code codes.Code, reason, message string, more ...protoadapt.MessageV1) error {
	info := &errdetails.ErrorInfo{Reason: reason, Domain: "parallel.buildrunner.dev"}
	made, err := status.New(code, message).WithDetails(append([]protoadapt.MessageV1{info}, more...)...)
	if err != nil {
		panic(err)
	}
	return made.Err()
}

// Watch and the other streams do what their field says.
func (c *Coordinator) Watch(r *pb.WatchRequest, s grpc.ServerStreamingServer[pb.WatchResponse]) error {
	return c.OnWatch(r, s)
}

// ReadOutput does what OnRead says.
func (c *Coordinator) ReadOutput(r *pb.ReadOutputRequest, s grpc.ServerStreamingServer[pb.ReadOutputResponse]) error {
	return c.OnRead(r, s)
}

// WriteOutput does what OnWrite says.
func (c *Coordinator) WriteOutput(s grpc.BidiStreamingServer[pb.WriteOutputRequest, pb.WriteOutputResponse]) error {
	return c.OnWrite(s)
}

// SubmitPlan does what OnPlan says.
func (c *Coordinator) SubmitPlan(s grpc.ClientStreamingServer[pb.SubmitPlanRequest, pb.SubmitPlanResponse]) error {
	return c.OnPlan(s)
}

// WorkerStream is one call of Connect, for the test to talk on.
type WorkerStream struct {
	t      testing.TB
	stream grpc.BidiStreamingServer[pb.ConnectRequest, pb.ConnectResponse]
	in     chan *pb.ConnectRequest
	end    chan error
	once   sync.Once
}

// Connect hands the stream to the test, until that ends it.
func (c *Coordinator) Connect(s grpc.BidiStreamingServer[pb.ConnectRequest, pb.ConnectResponse]) error {
	w := &WorkerStream{stream: s, in: make(chan *pb.ConnectRequest, 1024), end: make(chan error, 1)}
	go func() {
		defer close(w.in)
		for {
			request, err := s.Recv()
			if err != nil {
				return
			}
			w.in <- request
		}
	}()
	c.Workers <- w
	select {
	case err := <-w.end:
		return err
	case <-s.Context().Done():
		return s.Context().Err()
	}
}

// NextWorker waits for a worker's stream and its hello.
func (c *Coordinator) NextWorker(t testing.TB) (*WorkerStream, *pb.Hello) {
	t.Helper()
	select {
	case w := <-c.Workers:
		w.t = t
		return w, w.Next().GetHello()
	case <-time.After(GiveUp):
		t.Fatal("no worker comes")
	}
	return nil, nil
}

// Send says something to the worker.
func (w *WorkerStream) Send(response *pb.ConnectResponse) {
	w.t.Helper()
	if err := w.stream.Send(response); err != nil {
		w.t.Fatalf("the worker is gone: %v", err)
	}
}

// Next is the worker's next message; nil when it has closed its side.
func (w *WorkerStream) Next() *pb.ConnectRequest {
	w.t.Helper()
	select {
	case request := <-w.in:
		return request
	case <-time.After(GiveUp):
		w.t.Fatal("the worker says nothing")
	}
	return nil
}

// Until gives the worker's first message that is wanted, and answers heartbeats meanwhile.
func (w *WorkerStream) Until(what string, isWanted func(*pb.ConnectRequest) bool) *pb.ConnectRequest {
	w.t.Helper()
	for deadline := time.Now().Add(GiveUp); time.Now().Before(deadline); {
		request := w.Next()
		if request == nil {
			w.t.Fatalf("the worker left before %s", what)
		}
		if beat := request.Heartbeat; beat != nil {
			_ = w.stream.Send(&pb.ConnectResponse{HeartbeatReply: &pb.HeartbeatReply{Sequence: beat.Sequence}})
		}
		if isWanted(request) {
			return request
		}
	}
	w.t.Fatalf("it never came: %s", what)
	return nil
}

// Report waits for the report on an attempt.
func (w *WorkerStream) Report(attemptID string) *pb.TaskReport {
	w.t.Helper()
	var found *pb.TaskReport
	w.Until("the report on "+attemptID, func(request *pb.ConnectRequest) bool {
		for _, report := range request.Reports {
			if report.AttemptId == attemptID {
				found = report
			}
		}
		return found != nil
	})
	return found
}

// Started waits until an attempt was said to run.
func (w *WorkerStream) Started(attemptID string) *pb.TaskStarted {
	w.t.Helper()
	var found *pb.TaskStarted
	w.Until("the start of "+attemptID, func(request *pb.ConnectRequest) bool {
		for _, started := range request.Started {
			if started.AttemptId == attemptID {
				found = started
			}
		}
		return found != nil
	})
	return found
}

// Acknowledge answers a report.
func (w *WorkerStream) Acknowledge(attemptID string, fence int64, disposition pb.Disposition) {
	w.t.Helper()
	w.Send(&pb.ConnectResponse{Acknowledgements: []*pb.Acknowledgement{
		{AttemptId: attemptID, Fence: fence, Disposition: disposition},
	}})
}

// End ends the stream; nil is an end in order.
func (w *WorkerStream) End(err error) { w.once.Do(func() { w.end <- err }) }
