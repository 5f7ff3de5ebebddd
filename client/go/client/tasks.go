package client

import (
	"context"
	"errors"
	"io"
	"iter"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	pb "buildrunner.dev/parallel/v1"
)

// Task is what to run and under which conditions. Exactly one of Argv, Shell and Handler says what.
type Task struct {
	// ID is unique in its session; empty: the coordinator makes one.
	ID string
	// Argv is a program and its arguments; no shell comes near them.
	Argv []string
	// Shell is one line for /bin/sh -c.
	Shell string
	// Handler is the name of a function that a worker has, for Payload.
	Handler string
	// Payload is what it is given, ContentType the media type of that.
	Payload     []byte
	ContentType string

	// Directory is where it runs; empty: where the client is. Relative paths are relative to that.
	Directory string
	// Env is set on top of what the worker lets through of its own environment.
	Env map[string]string
	// Timeout is the running time after which it is stopped; 0 means none.
	Timeout time.Duration
	// Grace lies between SIGTERM and SIGKILL; 0 means 10 s, negative none.
	Grace time.Duration
	// Needs are ids of tasks of the session that must have succeeded.
	Needs []string
	// Files are paths that it holds while it runs: see Exclusive and Shared.
	Files []Path
	// Priority from -1000 to 1000; higher goes first.
	Priority int
	// Retries is how often a failed attempt is followed by another one.
	Retries int
	// Labels that a worker must carry, all of them.
	Labels []string
	// Slots is how many of a worker's slots it takes; 0 means 1.
	Slots int
	// Metadata is a JSON object.
	Metadata string
	// More changes the message before it is sent, for whatever has no field here; may be nil.
	More func(*pb.TaskSpec)
}

func (c *Client) specs(tasks []Task) ([]*pb.TaskSpec, error) {
	workspace, err := FindWorkspace(c.link.settings.directory)
	if err != nil {
		return nil, invalid("the current directory cannot be looked at: %v", err)
	}
	specs := make([]*pb.TaskSpec, len(tasks))
	for i, task := range tasks {
		if specs[i], err = task.spec(workspace); err != nil {
			return nil, err
		}
	}
	return specs, nil
}

func (t Task) spec(workspace Workspace) (*pb.TaskSpec, error) {
	spec := &pb.TaskSpec{
		TaskId:       t.ID,
		Directory:    &pb.WorkingDirectory{Worktree: workspace.Worktree, Path: workspace.below(t.Directory)},
		Environment:  t.Env,
		TimeoutMs:    t.Timeout.Milliseconds(),
		Needs:        t.Needs,
		Priority:     int32(t.Priority),
		Labels:       t.Labels,
		Slots:        int32(t.Slots),
		MetadataJson: t.Metadata,
	}
	kinds := 0
	if len(t.Argv) > 0 {
		spec.Work = &pb.TaskSpec_Command{Command: &pb.CommandWork{Argv: t.Argv}}
		kinds++
	}
	if t.Shell != "" {
		spec.Work = &pb.TaskSpec_Command{Command: &pb.CommandWork{ShellLine: t.Shell}}
		kinds++
	}
	if t.Handler != "" {
		payload := &pb.Payload{Data: t.Payload, ContentType: t.ContentType}
		spec.Work = &pb.TaskSpec_Handler{Handler: &pb.HandlerWork{Name: t.Handler, Payload: payload}}
		kinds++
	}
	if kinds > 1 || kinds == 0 && t.More == nil {
		return nil, invalid("task %q: give exactly one of Argv, Shell and Handler", t.ID)
	}
	if t.Grace != 0 {
		spec.GraceMs = proto.Int64(max(0, t.Grace.Milliseconds()))
	}
	if t.Retries != 0 {
		spec.Retry = &pb.RetryPolicy{MaxRetries: int32(t.Retries)}
	}
	for _, path := range t.Files {
		request, err := path.request(workspace)
		if err != nil {
			return nil, err
		}
		spec.Files = append(spec.Files, request)
	}
	if t.More != nil {
		t.More(spec)
	}
	return spec, nil
}

// SubmitOptions of Submit; the zero value is the usual one.
type SubmitOptions struct {
	// RequestID makes a repetition of this very call harmless; empty: a new one.
	RequestID string
	// Seal the session with this submission: no task will be added.
	Seal bool
}

// Submit adds up to 1,000 tasks to an open session, all or none, and returns them in that order.
func (c *Client) Submit(ctx context.Context, sessionID string, tasks ...Task) ([]*pb.TaskSummary, error) {
	return c.SubmitWith(ctx, sessionID, SubmitOptions{}, tasks...)
}

// SubmitWith is Submit with options.
func (c *Client) SubmitWith(
	ctx context.Context, sessionID string, options SubmitOptions, tasks ...Task,
) ([]*pb.TaskSummary, error) {
	specs, err := c.specs(tasks)
	if err != nil {
		return nil, err
	}
	answer, err := c.tasks.SubmitTasks(ctx, &pb.SubmitTasksRequest{
		RequestId: options.RequestID, SessionId: sessionID, Tasks: specs, Seal: options.Seal,
	})
	return answer.GetTasks(), err
}

const (
	planTasks = 1000
	planBytes = 1 << 20
	// A large plan is one transaction, and is answered once that is done.
	planTimeout = 5 * time.Minute
)

// SubmitPlan adds a plan of any size, all or nothing; with Create, Seal and Start in the same transaction. It
// is sent again, unchanged, when the coordinator goes away in its middle.
func (c *Client) SubmitPlan(ctx context.Context, header *pb.PlanHeader, tasks ...Task) (*pb.Session, error) {
	specs, err := c.specs(tasks)
	if err != nil {
		return nil, err
	}
	if header.GetRequestId() == "" {
		header = proto.CloneOf(header)
		if header == nil {
			header = &pb.PlanHeader{}
		}
		header.RequestId = newID()
	}
	tries := patience{limit: c.link.settings.patience}
	for {
		channel, target := c.link.now()
		began := time.Now()
		session, err := c.sendPlan(ctx, header, specs)
		if err == nil {
			return session, nil
		}
		if isCallers(ctx, err) {
			return nil, ofContext(ctx, "submitting the plan")
		}
		if !isLoss(err, false) || c.link.closed.Load() || !tries.again(ctx, began) {
			return nil, fromStatus(err, target.Address)
		}
		c.link.lookAgain(channel)
	}
}

func (c *Client) sendPlan(ctx context.Context, header *pb.PlanHeader, specs []*pb.TaskSpec) (*pb.Session, error) {
	ctx, cancel := context.WithTimeout(ctx, planTimeout)
	defer cancel()
	stream, err := c.tasks.SubmitPlan(ctx)
	if err != nil {
		return nil, err
	}
	message := &pb.SubmitPlanRequest{Header: header}
	bytes := 0
	for _, spec := range specs {
		size := proto.Size(spec)
		if message.Header != nil || len(message.Tasks) == planTasks || bytes+size > planBytes && bytes > 0 {
			if err := stream.Send(message); err != nil {
				break // why it ended is told below
			}
			message, bytes = &pb.SubmitPlanRequest{}, 0
		}
		message.Tasks = append(message.Tasks, spec)
		bytes += size
	}
	if err := stream.Send(message); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	answer, err := stream.CloseAndRecv()
	return answer.GetSession(), err
}

// GetTask is one task with its attempts.
func (c *Client) GetTask(ctx context.Context, sessionID, taskID string) (*pb.Task, error) {
	answer, err := c.tasks.GetTask(ctx, &pb.GetTaskRequest{SessionId: sessionID, TaskId: taskID})
	return answer.GetTask(), err
}

// Tasks lists a session's tasks, or those in one of the states, in order of submission; pages are fetched as
// needed.
func (c *Client) Tasks(
	ctx context.Context, sessionID string, states ...pb.TaskStatus,
) iter.Seq2[*pb.TaskSummary, error] {
	return pages(func(token string) ([]*pb.TaskSummary, string, error) {
		answer, err := c.tasks.ListTasks(ctx, &pb.ListTasksRequest{
			SessionId: sessionID, Statuses: states, PageSize: pageSize, PageToken: token,
		})
		return answer.GetTasks(), answer.GetNextPageToken(), err
	})
}

// Attempts lists ended attempts, with their results, in the order in which their ends became durable; of the
// named tasks, or of all.
func (c *Client) Attempts(
	ctx context.Context, sessionID string, taskIDs ...string,
) iter.Seq2[*pb.EndedAttempt, error] {
	return pages(func(token string) ([]*pb.EndedAttempt, string, error) {
		answer, err := c.tasks.ListAttempts(ctx, &pb.ListAttemptsRequest{
			SessionId: sessionID, TaskIds: taskIDs, PageSize: pageSize, PageToken: token,
		})
		return answer.GetAttempts(), answer.GetNextPageToken(), err
	})
}

// CancelTask stops one task; no effect on an ended one. Tasks that need it are skipped.
func (c *Client) CancelTask(ctx context.Context, sessionID, taskID, reason string) (*pb.TaskSummary, error) {
	answer, err := c.tasks.CancelTask(ctx, &pb.CancelTaskRequest{
		SessionId: sessionID, TaskId: taskID, Reason: reason,
	})
	return answer.GetTask(), err
}

// RetryTasks runs the named tasks again, or all that failed, were skipped or cancelled; how many.
func (c *Client) RetryTasks(ctx context.Context, sessionID string, taskIDs ...string) (int, error) {
	answer, err := c.tasks.RetryTasks(ctx, &pb.RetryTasksRequest{SessionId: sessionID, TaskIds: taskIDs})
	return int(answer.GetTaskCount()), err
}

// IsSessionOver: COMPLETED, FAILED or CANCELLED.
func IsSessionOver(session *pb.Session) bool {
	switch session.GetStatus() {
	case pb.SessionStatus_SESSION_STATUS_COMPLETED, pb.SessionStatus_SESSION_STATUS_FAILED,
		pb.SessionStatus_SESSION_STATUS_CANCELLED:
		return true
	}
	return false
}

// IsTaskOver: SUCCEEDED, FAILED, CANCELLED or SKIPPED.
func IsTaskOver(task *pb.TaskSummary) bool {
	switch task.GetStatus() {
	case pb.TaskStatus_TASK_STATUS_SUCCEEDED, pb.TaskStatus_TASK_STATUS_FAILED,
		pb.TaskStatus_TASK_STATUS_CANCELLED, pb.TaskStatus_TASK_STATUS_SKIPPED:
		return true
	}
	return false
}

func notFound(reason, message string) error {
	return &NotFoundError{CallError: CallError{Code: codes.NotFound, Reason: reason, Message: message}}
}
