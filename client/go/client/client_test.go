package client

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"buildrunner.dev/parallel/internal/fake"
	pb "buildrunner.dev/parallel/v1"
)

func connect(t *testing.T, c *fake.Coordinator, options ...Option) *Client {
	t.Helper()
	made, err := New(append([]Option{WithAddress(c.Address), WithToken(fake.Token)}, options...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = made.Close() })
	return made
}

func bounded(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), fake.GiveUp)
	t.Cleanup(cancel)
	return ctx
}

func TestEachRefusalHasATypeOfItsOwn(t *testing.T) {
	clash := &pb.LockConflict{AskedPath: "a", HeldPath: "a/"}
	is := func(target any) func(error) bool { return func(err error) bool { return errors.As(err, target) } }
	var refusal error
	c := fake.New(t)
	c.OnUnary = func(context.Context, string, any) (any, error) { return nil, refusal }
	c.Start(t)
	client := connect(t, c, WithPatience(0))
	for _, one := range []struct {
		refusal error
		reason  string
		is      func(error) bool
	}{
		{fake.Refusal(codes.Aborted, "LOCK_CONFLICT", "m", protoOf(clash)), "LOCK_CONFLICT", is(new(*ConflictError))},
		{fake.Refusal(codes.Aborted, "DEADLOCK", "m"), "DEADLOCK", is(new(*DeadlockError))},
		{fake.Refusal(codes.Aborted, "DEADLOCK", "m"), "DEADLOCK", is(new(*ConflictError))},
		{fake.Refusal(codes.Aborted, "STALE", "m"), "STALE", is(new(*StaleError))},
		{fake.Refusal(codes.NotFound, "TASK_NOT_FOUND", "m"), "TASK_NOT_FOUND", is(new(*NotFoundError))},
		{fake.Refusal(codes.FailedPrecondition, "WRONG_STATE", "m"), "WRONG_STATE", is(new(*WrongStateError))},
		{fake.Refusal(codes.FailedPrecondition, "SESSION_CLOSED", "m"), "SESSION_CLOSED", is(new(*WrongStateError))},
		{fake.Refusal(codes.ResourceExhausted, "LIMIT", "m"), "LIMIT", is(new(*LimitError))},
		{fake.Refusal(codes.AlreadyExists, "TASK_EXISTS", "m"), "TASK_EXISTS", is(new(*ExistsError))},
		{fake.Refusal(codes.InvalidArgument, "CYCLE", "m"), "CYCLE", is(new(*InvalidError))},
		{fake.Refusal(codes.Unauthenticated, "UNAUTHENTICATED", "m"), "UNAUTHENTICATED", is(new(*UnauthenticatedError))},
		{fake.Refusal(codes.Unavailable, "DRAINING", "m"), "DRAINING", is(new(*UnavailableError))},
		{fake.Refusal(codes.Unimplemented, "UNSUPPORTED", "m"), "UNSUPPORTED", is(new(*UnsupportedError))},
		{fake.Refusal(codes.Internal, "INTERNAL", "m"), "INTERNAL", is(new(*InternalError))},
		{fake.Refusal(codes.NotFound, "A_NEW_REASON", "m"), "A_NEW_REASON", is(new(*NotFoundError))},
		{status.Error(codes.ResourceExhausted, "too large"), "", is(new(*LimitError))},
	} {
		refusal = one.refusal
		_, err := client.GetSession(bounded(t), "last")
		var call *CallError
		if !errors.As(err, &call) || call.Reason != one.reason || !one.is(err) || status.Code(err) != status.Code(refusal) {
			t.Errorf("%v: %T %v", one.refusal, err, err)
		}
	}
	refusal = fake.Refusal(codes.Aborted, "LOCK_CONFLICT", "m", protoOf(clash), protoOf(clash))
	_, err := client.AcquireLocks(bounded(t), "s", Exclusive("res:a"), LockOptions{})
	var conflict *ConflictError
	if !errors.As(err, &conflict) || len(conflict.Conflicts) != 2 || conflict.Conflicts[0].HeldPath != "a/" {
		t.Errorf("%v", err)
	}
}

func TestACallIsRepeatedUnderTheSameRequestIDWhileTheCoordinatorIsAway(t *testing.T) {
	c := fake.New(t)
	var mu sync.Mutex
	ids, clients := map[string]int{}, map[string]bool{}
	c.OnUnary = func(ctx context.Context, _ string, request any) (any, error) {
		mu.Lock()
		defer mu.Unlock()
		found, _ := metadata.FromIncomingContext(ctx)
		clients[found.Get("br-client-id")[0]] = true
		id := request.(*pb.CreateSessionRequest).RequestId
		if ids[id]++; ids[id] < 4 {
			return nil, status.Error(codes.Unavailable, "gone")
		}
		return &pb.CreateSessionResponse{Session: &pb.Session{SessionId: "abcd"}}, nil
	}
	client := connect(t, c)
	time.AfterFunc(100*time.Millisecond, func() { c.Start(t) })
	session, err := client.CreateSession(bounded(t), "x")
	if err != nil || session.SessionId != "abcd" {
		t.Fatalf("%v, %v", session, err)
	}
	if _, err := client.CreateSession(bounded(t), "x"); err != nil {
		t.Fatal(err)
	}
	mu.Lock()
	defer mu.Unlock()
	if len(ids) != 2 || ids[""] != 0 || len(clients) != 1 || clients[""] {
		t.Errorf("request ids %v, clients %v", ids, clients)
	}
}

func TestPatienceHasAnEnd(t *testing.T) {
	c := fake.New(t)
	client := connect(t, c, WithPatience(50*time.Millisecond))
	var away *UnavailableError
	if _, err := client.Info(bounded(t)); !errors.As(err, &away) || !strings.Contains(err.Error(), "br parallel") {
		t.Errorf("%v", err)
	}
}

func TestARefusalIsNotRepeated(t *testing.T) {
	c := fake.New(t)
	calls := 0
	c.OnUnary = func(context.Context, string, any) (any, error) {
		calls++
		return nil, fake.Refusal(codes.Unavailable, "DRAINING", "Takes no new work.")
	}
	c.Start(t)
	if _, err := connect(t, c).CreateSession(bounded(t), "x"); err == nil || calls != 1 {
		t.Errorf("%d calls, %v", calls, err)
	}
}

func TestACallThatIsNeverAnsweredIsGivenUp(t *testing.T) {
	c := fake.New(t)
	c.OnUnary = func(ctx context.Context, _ string, _ any) (any, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	c.Start(t)
	var away *UnavailableError
	if _, err := connect(t, c, WithCallTimeout(50*time.Millisecond)).Info(bounded(t)); !errors.As(err, &away) {
		t.Errorf("its own limit: %v", err)
	}
	ctx, cancel := context.WithTimeout(bounded(t), 50*time.Millisecond)
	defer cancel()
	var late *TimeoutError
	_, err := connect(t, c).Info(ctx)
	if !errors.As(err, &late) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("the caller's: %v", err)
	}
	ctx, cancel = context.WithCancel(bounded(t))
	cancel()
	if _, err := connect(t, c).Info(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

func TestATokenThatWasReplacedIsReadAgain(t *testing.T) {
	c := fake.New(t)
	c.OnUnary = func(context.Context, string, any) (any, error) { return &pb.GetInfoResponse{Version: "1"}, nil }
	c.Start(t)
	file := filepath.Join(t.TempDir(), "token")
	write(t, file, "old\n")
	client, err := New(WithAddress(c.Address), WithTokenFile(file))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	var refused *UnauthenticatedError
	if _, err := client.Info(bounded(t)); !errors.As(err, &refused) {
		t.Fatalf("%v", err)
	}
	write(t, file, fake.Token+"\n")
	if info, err := client.Info(bounded(t)); err != nil || info.Version != "1" {
		t.Errorf("%v", err)
	}
}

func write(t *testing.T, file, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestListsAreReadPageByPage(t *testing.T) {
	c := fake.New(t)
	c.OnUnary = func(_ context.Context, _ string, request any) (any, error) {
		token := request.(*pb.ListTasksRequest).PageToken
		next := map[string]string{"": "p2", "p2": "p3", "p3": ""}[token]
		return &pb.ListTasksResponse{Tasks: []*pb.TaskSummary{{TaskId: "of " + token}}, NextPageToken: next}, nil
	}
	c.Start(t)
	var found []string
	for task, err := range connect(t, c).Tasks(bounded(t), "s") {
		if err != nil {
			t.Fatal(err)
		}
		found = append(found, task.TaskId)
	}
	if !slices.Equal(found, []string{"of ", "of p2", "of p3"}) {
		t.Errorf("%v", found)
	}
}

func TestAPlanIsSentInPiecesAndAgainWhenItBreaksOff(t *testing.T) {
	c := fake.New(t)
	var headers []*pb.PlanHeader
	var sizes []int
	c.OnPlan = func(s grpc.ClientStreamingServer[pb.SubmitPlanRequest, pb.SubmitPlanResponse]) error {
		sizes = nil
		for {
			message, err := s.Recv()
			if err != nil {
				break
			}
			if message.Header != nil {
				headers = append(headers, message.Header)
			} else {
				sizes = append(sizes, len(message.Tasks))
			}
			if len(headers) == 1 && len(sizes) == 1 {
				return status.Error(codes.Unavailable, "gone")
			}
		}
		return s.SendAndClose(&pb.SubmitPlanResponse{Session: &pb.Session{SessionId: "abcd"}})
	}
	c.Start(t)
	tasks := make([]Task, 2500)
	for i := range tasks {
		tasks[i].Shell = "true"
	}
	session, err := connect(t, c).SubmitPlan(bounded(t), &pb.PlanHeader{Seal: true}, tasks...)
	if err != nil || session.SessionId != "abcd" {
		t.Fatal(err)
	}
	if !slices.Equal(sizes, []int{1000, 1000, 500}) || len(headers) != 2 || headers[0].RequestId == "" ||
		headers[0].RequestId != headers[1].RequestId || !headers[1].Seal {
		t.Errorf("%v, %v", sizes, headers)
	}
}

func TestATaskSaysOneThingToRun(t *testing.T) {
	for _, task := range []Task{{}, {Argv: []string{"a"}, Shell: "b"}, {Handler: "h", Shell: "b"}} {
		var wrong *InvalidError
		if _, err := task.spec(Workspace{}); !errors.As(err, &wrong) {
			t.Errorf("%+v: %v", task, err)
		}
	}
	spec, err := Task{Shell: "x", Grace: -1, Timeout: time.Second, Directory: "sub"}.spec(Workspace{Worktree: "/r", Directory: "d"})
	if err != nil || spec.GetGraceMs() != 0 || spec.GraceMs == nil || spec.TimeoutMs != 1000 ||
		spec.Directory.Worktree != "/r" || spec.Directory.Path != "d/sub" {
		t.Errorf("%v, %v", spec, err)
	}
}
