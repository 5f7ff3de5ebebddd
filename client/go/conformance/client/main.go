// The Go client, as the conformance kit drives it: a request a line in, an answer a line out.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"buildrunner.dev/parallel/client"
	pb "buildrunner.dev/parallel/v1"
)

const longestLine = 64 << 20

type object = map[string]any

type request struct {
	ID        any            `json:"id"`
	Op        string         `json:"op"`
	SessionID string         `json:"session_id"`
	TaskID    string         `json:"task_id"`
	Name      string         `json:"name"`
	Metadata  map[string]any `json:"metadata"`
	Tasks     []task         `json:"tasks"`
	RequestID string         `json:"request_id"`
	TimeoutS  float64        `json:"timeout_s"`
	Paths     []string       `json:"paths"`
	Shared    bool           `json:"shared"`
	WaitS     float64        `json:"wait_s"`
	LeaseS    float64        `json:"lease_s"`
	GrantID   string         `json:"grant_id"`
	Fence     int64          `json:"fence"`
	Since     int64          `json:"since"`
	StoreID   string         `json:"store_id"`
	Watch     int            `json:"watch"`
	Status    string         `json:"status"`
}

type task struct {
	TaskID  string   `json:"task_id"`
	Argv    []string `json:"argv"`
	Run     string   `json:"run"`
	Handler string   `json:"handler"`
	Payload string   `json:"payload"`
	Needs   []string `json:"needs"`
	Files   []struct {
		Path   string `json:"path"`
		Shared bool   `json:"shared"`
	} `json:"files"`
	TimeoutS float64  `json:"timeout_s"`
	GraceS   *float64 `json:"grace_s"`
	Retries  int      `json:"retries"`
	Labels   []string `json:"labels"`
	Priority int      `json:"priority"`
}

type program struct {
	client  *client.Client
	watches []*following
}

func main() {
	p := &program{}
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, longestLine)
	answers := json.NewEncoder(os.Stdout)
	for lines.Scan() {
		if err := answers.Encode(p.answer(lines.Bytes())); err != nil {
			os.Exit(1)
		}
	}
	for _, watch := range p.watches {
		watch.close()
	}
	if p.client != nil {
		_ = p.client.Close()
	}
}

func (p *program) answer(line []byte) object {
	var asked request
	if err := json.Unmarshal(line, &asked); err != nil {
		return object{"id": nil, "error": told(invalid{"not understood: " + err.Error()})}
	}
	if p.client == nil {
		c, err := client.New()
		if err != nil {
			return object{"id": asked.ID, "error": told(err)}
		}
		p.client = c
	}
	ok, err := p.do(context.Background(), asked)
	if err != nil {
		return object{"id": asked.ID, "error": told(err)}
	}
	return object{"id": asked.ID, "ok": ok}
}

func (p *program) do(ctx context.Context, asked request) (object, error) {
	c, id := p.client, asked.SessionID
	switch asked.Op {
	case "info":
		info, err := c.Info(ctx)
		return object{
			"version": info.GetVersion(), "store_id": info.GetStoreId(), "epoch": info.GetEpoch(),
			"capabilities": append([]string{}, info.GetCapabilities()...),
		}, err
	case "create_session":
		metadata, err := json.Marshal(asked.Metadata)
		if err != nil || asked.Metadata == nil {
			metadata = nil
		}
		session, err := c.CreateSession(ctx, asked.Name, client.WithMetadata(string(metadata)))
		return object{"session_id": session.GetSessionId()}, err
	case "start_session":
		return sessionStatus(c.StartSession(ctx, id))
	case "pause_session":
		return sessionStatus(c.PauseSession(ctx, id, client.PauseOptions{}))
	case "resume_session":
		return sessionStatus(c.ResumeSession(ctx, id))
	case "cancel_session":
		return sessionStatus(c.CancelSession(ctx, id, ""))
	case "close_session":
		return sessionStatus(c.CloseSession(ctx, id))
	case "wait_session":
		ctx, cancel := context.WithTimeout(ctx, seconds(asked.TimeoutS))
		defer cancel()
		session, err := c.WaitSession(ctx, id)
		ok, _ := sessionStatus(session, nil)
		ok["succeeded"], ok["failed"] = session.GetCounts().GetSucceeded(), session.GetCounts().GetFailed()
		return ok, err
	case "submit":
		return p.submit(ctx, asked)
	case "get_task":
		return getTask(c.GetTask(ctx, id, asked.TaskID))
	case "cancel_task":
		cancelled, err := c.CancelTask(ctx, id, asked.TaskID, "")
		return object{"status": word(cancelled.GetStatus(), "TASK_STATUS_")}, err
	case "logs":
		return p.readLogs(ctx, asked)
	case "lock", "renew", "unlock":
		return p.lock(ctx, asked)
	case "watch", "watch_until", "watch_close":
		return p.watch(ctx, asked)
	}
	return nil, invalid{fmt.Sprintf("not understood: there is no op %q", asked.Op)}
}

func (p *program) submit(ctx context.Context, asked request) (object, error) {
	var tasks []client.Task
	for _, one := range asked.Tasks {
		made := client.Task{
			ID: one.TaskID, Argv: one.Argv, Shell: one.Run, Handler: one.Handler, Payload: []byte(one.Payload),
			Needs: one.Needs, Timeout: seconds(one.TimeoutS), Retries: one.Retries, Labels: one.Labels,
			Priority: one.Priority,
		}
		if one.Handler != "" {
			made.ContentType = "application/json"
		}
		if one.GraceS != nil {
			made.Grace = seconds(*one.GraceS)
			if made.Grace == 0 {
				made.Grace = -1
			}
		}
		for _, file := range one.Files {
			made.Files = append(made.Files, fromRoot(file.Path, file.Shared))
		}
		tasks = append(tasks, made)
	}
	options := client.SubmitOptions{RequestID: asked.RequestID}
	submitted, err := p.client.SubmitWith(ctx, asked.SessionID, options, tasks...)
	ids := []string{}
	for _, one := range submitted {
		ids = append(ids, one.TaskId)
	}
	return object{"task_ids": ids}, err
}

func (p *program) lock(ctx context.Context, asked request) (object, error) {
	var paths []client.Path
	for _, name := range asked.Paths {
		paths = append(paths, fromRoot(name, asked.Shared))
	}
	switch asked.Op {
	case "renew":
		lease, err := p.client.RenewLease(ctx, asked.GrantID, asked.Fence)
		return object{"lease_s": lease.Seconds()}, err
	case "unlock":
		freed, err := p.client.ReleaseLocks(ctx, asked.SessionID, client.ReleaseOptions{
			Paths: paths, GrantID: asked.GrantID, Fence: asked.Fence,
		})
		return object{"paths": names(freed)}, err
	}
	wait := seconds(asked.WaitS)
	if asked.WaitS < 0 {
		wait = client.Forever
	}
	grant, err := p.client.AcquireLocks(ctx, asked.SessionID, paths, client.LockOptions{
		Wait: wait, Lease: seconds(asked.LeaseS),
	})
	return object{
		"grant_id": grant.GetGrantId(), "fence": grant.GetFence(), "paths": names(grant.GetLocks()),
	}, err
}

func (p *program) readLogs(ctx context.Context, asked request) (object, error) {
	text := map[pb.OutputChannel]*strings.Builder{
		pb.OutputChannel_OUTPUT_CHANNEL_STDOUT: {}, pb.OutputChannel_OUTPUT_CHANNEL_STDERR: {},
	}
	for piece, err := range p.client.Logs(ctx, asked.SessionID, client.LogOptions{TaskID: asked.TaskID}) {
		if err != nil {
			return nil, err
		}
		if builder := text[piece.GetChunk().GetChannel()]; builder != nil {
			builder.Write(piece.GetChunk().GetData())
		}
	}
	return object{
		"stdout": text[pb.OutputChannel_OUTPUT_CHANNEL_STDOUT].String(),
		"stderr": text[pb.OutputChannel_OUTPUT_CHANNEL_STDERR].String(),
	}, nil
}

func (p *program) watch(ctx context.Context, asked request) (object, error) {
	if asked.Op == "watch" {
		p.watches = append(p.watches, follow(ctx, p.client, asked))
		return object{"watch": len(p.watches) - 1}, nil
	}
	if asked.Watch < 0 || asked.Watch >= len(p.watches) {
		return nil, invalid{fmt.Sprintf("there is no watch %d", asked.Watch)}
	}
	watch := p.watches[asked.Watch]
	if asked.Op == "watch_close" {
		watch.close()
		return object{}, nil
	}
	return watch.until(asked.TaskID, asked.Status, seconds(asked.TimeoutS))
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

func fromRoot(name string, shared bool) client.Path {
	path := client.Path{Name: name, Kind: pb.LockKind_LOCK_KIND_AUTO}
	if shared {
		path.Mode = pb.LockMode_LOCK_MODE_SHARED
	}
	return path
}

func names(locks []*pb.PathLock) []string {
	made := []string{}
	for _, lock := range locks {
		made = append(made, lock.GetPath())
	}
	return made
}

func word(status fmt.Stringer, prefix string) string {
	return strings.ToLower(strings.TrimPrefix(status.String(), prefix))
}

func sessionStatus(session *pb.Session, err error) (object, error) {
	return object{"status": word(session.GetStatus(), "SESSION_STATUS_")}, err
}

func getTask(task *pb.Task, err error) (object, error) {
	summary, result := task.GetSummary(), ""
	if attempts := task.GetAttempts(); len(attempts) > 0 {
		result = string(attempts[len(attempts)-1].GetResult().GetData())
	}
	ok := object{
		"status": word(summary.GetStatus(), "TASK_STATUS_"), "attempts": len(task.GetAttempts()),
		"exit_code": nil, "error": summary.GetError(), "result": result,
	}
	if summary != nil && summary.ExitCode != nil {
		ok["exit_code"] = summary.GetExitCode()
	}
	return ok, err
}

// invalid is a line that makes no sense.
type invalid struct{ message string }

func (e invalid) Error() string { return e.message }

func told(err error) object {
	kind := kindOf(err)
	answer := object{"kind": kind, "reason": "", "message": err.Error()}
	var call *client.CallError
	if errors.As(err, &call) {
		answer["reason"] = call.Reason
	}
	var conflict *client.ConflictError
	if errors.As(err, &conflict) {
		clashes := []object{}
		for _, one := range conflict.Conflicts {
			clashes = append(clashes, object{
				"path": one.GetAskedPath(), "held_path": one.GetHeldPath(),
				"session_id": one.GetHolder().GetSessionId(), "session_name": one.GetHolder().GetSessionName(),
			})
		}
		answer["conflicts"] = clashes
	}
	return answer
}

func kindOf(err error) string {
	switch {
	case is[*client.ConflictError](err):
		return "conflict"
	case is[*client.StaleError](err):
		return "stale"
	case is[*client.WrongStateError](err):
		return "wrong_state"
	case is[*client.LimitError](err):
		return "limit"
	case is[*client.UnsupportedError](err):
		return "unsupported"
	case is[*client.NotFoundError](err):
		return "not_found"
	case is[*client.UnauthenticatedError](err):
		return "unauthenticated"
	case is[*client.UnavailableError](err):
		return "unavailable"
	case is[*client.TimeoutError](err):
		return "timeout"
	case is[*client.InvalidError](err), is[*client.ExistsError](err), is[invalid](err):
		return "invalid"
	}
	return "internal"
}

func is[T error](err error) bool {
	var found T
	return errors.As(err, &found)
}
