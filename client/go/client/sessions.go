package client

import (
	"context"
	"iter"

	pb "buildrunner.dev/parallel/v1"
)

const pageSize = 1000

// SessionOption is a setting of CreateSession.
type SessionOption func(*pb.CreateSessionRequest)

// WithMetadata stores a JSON object with the session.
func WithMetadata(json string) SessionOption {
	return func(r *pb.CreateSessionRequest) { r.MetadataJson = json }
}

// WithMaxParallel bounds how many of the session's tasks run at once; 0 means no bound.
func WithMaxParallel(tasks int) SessionOption {
	return func(r *pb.CreateSessionRequest) { r.MaxParallel = int32(tasks) }
}

// WithWantedWorkers has the keeper run so many workers for this session alone.
func WithWantedWorkers(workers int) SessionOption {
	return func(r *pb.CreateSessionRequest) { r.WantedWorkers = int32(workers) }
}

// WithDeclaredTasks says how many tasks there will be; the last of them seals the session.
func WithDeclaredTasks(tasks int) SessionOption {
	return func(r *pb.CreateSessionRequest) { r.DeclaredTasks = int32(tasks) }
}

// WithFailurePolicy says what the limit-th failed task means for the rest.
func WithFailurePolicy(action pb.FailureAction, limit int) SessionOption {
	return func(r *pb.CreateSessionRequest) {
		r.OnFailure = &pb.FailurePolicy{Action: action, Limit: int32(limit)}
	}
}

// CreateSession registers a session. It is CREATED, and open for tasks.
func (c *Client) CreateSession(ctx context.Context, name string, options ...SessionOption) (*pb.Session, error) {
	request := &pb.CreateSessionRequest{Name: name}
	for _, option := range options {
		option(request)
	}
	answer, err := c.sessions.CreateSession(ctx, request)
	return answer.GetSession(), err
}

// GetSession finds a session by its id, a unique prefix of it, or "last".
func (c *Client) GetSession(ctx context.Context, sessionID string) (*pb.Session, error) {
	answer, err := c.sessions.GetSession(ctx, &pb.GetSessionRequest{SessionId: sessionID})
	return answer.GetSession(), err
}

// Sessions lists all sessions, or those in one of the states, newest first; pages are fetched as needed.
func (c *Client) Sessions(ctx context.Context, states ...pb.SessionStatus) iter.Seq2[*pb.Session, error] {
	return pages(func(token string) ([]*pb.Session, string, error) {
		answer, err := c.sessions.ListSessions(ctx, &pb.ListSessionsRequest{
			Statuses: states, PageSize: pageSize, PageToken: token,
		})
		return answer.GetSessions(), answer.GetNextPageToken(), err
	})
}

// StartSession: CREATED to RUNNING.
func (c *Client) StartSession(ctx context.Context, sessionID string) (*pb.Session, error) {
	answer, err := c.sessions.StartSession(ctx, &pb.StartSessionRequest{SessionId: sessionID})
	return answer.GetSession(), err
}

// PauseOptions of PauseSession.
type PauseOptions struct {
	// Now stops running tasks too; they are queued again at no cost.
	Now bool
	// ReleaseLocks gives up the session's locks once nothing of it runs.
	ReleaseLocks bool
}

// PauseSession: RUNNING to PAUSED. What has not started is taken back.
func (c *Client) PauseSession(ctx context.Context, sessionID string, options PauseOptions) (*pb.Session, error) {
	answer, err := c.sessions.PauseSession(ctx, &pb.PauseSessionRequest{
		SessionId: sessionID, Now: options.Now, ReleaseLocks: options.ReleaseLocks,
	})
	return answer.GetSession(), err
}

// ResumeSession: PAUSED to RUNNING.
func (c *Client) ResumeSession(ctx context.Context, sessionID string) (*pb.Session, error) {
	answer, err := c.sessions.ResumeSession(ctx, &pb.ResumeSessionRequest{SessionId: sessionID})
	return answer.GetSession(), err
}

// CancelSession stops everything; it is CANCELLED once its last attempt is over. The reason is kept with it.
func (c *Client) CancelSession(ctx context.Context, sessionID, reason string) (*pb.Session, error) {
	answer, err := c.sessions.CancelSession(ctx, &pb.CancelSessionRequest{SessionId: sessionID, Reason: reason})
	return answer.GetSession(), err
}

// CloseSession seals a session: no task will be added, so it ends when its tasks have.
func (c *Client) CloseSession(ctx context.Context, sessionID string) (*pb.Session, error) {
	answer, err := c.sessions.CloseSession(ctx, &pb.CloseSessionRequest{SessionId: sessionID})
	return answer.GetSession(), err
}

// pages walks through a list that is fetched a page at a time, up to the first error.
func pages[T any](fetch func(token string) ([]T, string, error)) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for token := ""; ; {
			page, next, err := fetch(token)
			if err != nil {
				var none T
				yield(none, err)
				return
			}
			for _, one := range page {
				if !yield(one, nil) {
					return
				}
			}
			if token = next; token == "" {
				return
			}
		}
	}
}
