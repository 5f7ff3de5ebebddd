package client

import (
	"context"
	"errors"
	"os"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc/codes"

	"buildrunner.dev/parallel/internal/asker"
	"buildrunner.dev/parallel/internal/boottime"
	pb "buildrunner.dev/parallel/v1"
)

const (
	defaultLease   = 30 * time.Second
	renewalRetry   = 500 * time.Millisecond
	longestRenewal = 10 * time.Second
	shortestTry    = time.Second
	releaseLimit   = 10 * time.Second
)

// Grant is what Lock holds, renewed in the background until Release.
//
// The lease counts from the sending of the last renewal that was answered, on a clock that goes on while the
// machine sleeps: past its end somebody else may hold the paths.
type Grant struct {
	client  *Client
	record  *pb.AcquireLocksResponse
	session string
	ours    bool

	ctx    context.Context
	cancel context.CancelCauseFunc
	done   chan struct{}

	mu       sync.Mutex
	lease    time.Duration
	until    boottime.Moment
	lost     error
	released bool
}

// Lock takes all of the paths or none, keeps them until Release, and tells when they are lost all the same:
//
//	grant, err := c.Lock(ctx, session, client.Exclusive("src/app.py"), client.LockOptions{Wait: time.Minute})
//	if err != nil { ... }
//	defer grant.Release()
//	err = work(grant.Context())   // ends early when the lock is lost
//
// Errors as those of AcquireLocks. The grant outlives ctx.
func (c *Client) Lock(ctx context.Context, sessionID string, items []Path, options LockOptions) (*Grant, error) {
	if options.Lease == 0 {
		options.Lease = defaultLease
	}
	asked := boottime.Now()
	record, err := c.AcquireLocks(ctx, sessionID, items, options)
	if err != nil {
		return nil, err
	}
	g := &Grant{
		client: c, record: record, session: sessionID, done: make(chan struct{}),
		lease: time.Duration(record.LeaseMs) * time.Millisecond,
	}
	for _, lock := range record.Locks {
		if id := lock.GetHolder().GetSessionId(); id != "" {
			g.session = id
			break
		}
	}
	g.until = asked.Add(g.lease)
	// What was held already is somebody else's to renew and to release.
	g.ours = !record.AlreadyHeld && record.GrantId != "" && record.LeaseMs > 0 &&
		record.GrantId != os.Getenv("BR_LOCK_GRANT_ID")
	within := context.WithoutCancel(ctx)
	if g.ours {
		within = asker.In(within, asker.Asker{SessionID: g.session, GrantID: record.GrantId, Fence: record.Fence})
	}
	g.ctx, g.cancel = context.WithCancelCause(within)
	if !g.ours {
		close(g.done)
		return g, nil
	}
	if record.WaitedMs > 0 {
		// When the lease of what was waited for began only the coordinator knows.
		sent := boottime.Now()
		lease, err := c.RenewLease(ctx, record.GrantId, record.Fence)
		if err != nil {
			g.giveBack()
			return nil, err
		}
		g.renewed(sent, lease)
	}
	go g.renew()
	return g, nil
}

// ID names the grant; empty for what a task holds by declaring it.
func (g *Grant) ID() string { return g.record.GrantId }

// Fence is larger than that of whoever held any of the paths before.
func (g *Grant) Fence() int64 { return g.record.Fence }

// SessionID is that of the holder.
func (g *Grant) SessionID() string { return g.session }

// Locks has one entry for each path asked for, in that order.
func (g *Grant) Locks() []*pb.PathLock { return g.record.Locks }

// Context ends when the lock is lost, with a *LockLostError as context.Cause, and with Release. Locks asked
// for with it are asked for on behalf of this grant.
func (g *Grant) Context() context.Context { return g.ctx }

// Lost is closed when the lock is known to be lost, and with Release.
func (g *Grant) Lost() <-chan struct{} { return g.ctx.Done() }

// Err is a *LockLostError once the lock is known to be lost, else nil.
func (g *Grant) Err() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.lost
}

// Held says whether nobody else can hold the paths at this moment. It is false too while a renewal is late.
func (g *Grant) Held() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return !g.released && g.lost == nil && (!g.ours || g.until.Until() > 0)
}

// Release gives the paths back. Its error is a *LockLostError when they were lost before, noticed or not.
func (g *Grant) Release() error {
	g.mu.Lock()
	again := g.released
	g.released = true
	g.mu.Unlock()
	g.cancel(context.Canceled)
	<-g.done
	if again || !g.ours {
		return nil
	}
	if err := g.Err(); err != nil {
		return err
	}
	err := g.giveBack()
	if refused(err) {
		return g.lose(err.Error())
	}
	return err
}

func (g *Grant) giveBack() error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(g.ctx), releaseLimit)
	defer cancel()
	_, err := g.client.ReleaseLocks(ctx, g.session, ReleaseOptions{GrantID: g.ID(), Fence: g.Fence()})
	return err
}

func (g *Grant) renewed(sent boottime.Moment, lease time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.until, g.lease = sent.Add(lease), lease
}

func (g *Grant) left() (untilRenewal, untilEnd time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	untilEnd = g.until.Until()
	return max(0, untilEnd-g.lease*2/3), max(0, untilEnd)
}

func (g *Grant) renew() {
	defer close(g.done)
	pause, _ := g.left()
	for {
		select {
		case <-g.ctx.Done():
			return
		case <-time.After(pause):
		}
		_, left := g.left()
		ctx, cancel := context.WithTimeout(g.ctx, min(longestRenewal, max(shortestTry, left/2)))
		sent := boottime.Now()
		lease, err := g.client.RenewLease(ctx, g.ID(), g.Fence())
		cancel()
		if g.ctx.Err() != nil {
			return
		}
		if err == nil {
			g.renewed(sent, lease)
			pause, _ = g.left()
			continue
		}
		if _, left = g.left(); left <= 0 || refused(err) || g.client.link.closed.Load() {
			why := err.Error()
			if !refused(err) {
				why = "its lease could not be renewed in time: " + why
			}
			g.cancel(g.lose(why))
			return
		}
		pause = renewalRetry
	}
}

func (g *Grant) lose(why string) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.lost == nil {
		var names []string
		for _, lock := range g.record.Locks {
			names = append(names, lock.GetPath())
		}
		g.lost = &LockLostError{StaleError{CallError{
			Code: codes.Aborted, Reason: "STALE",
			Message: "the lock of " + shortened(strings.Join(names, ", ")) + " was lost while it was needed: " + why,
		}}, g.record.GrantId}
	}
	return g.lost
}

// refused: the coordinator said no, as against not having answered.
func refused(err error) bool {
	var stale *StaleError
	var gone *NotFoundError
	var state *WrongStateError
	var wrong *InvalidError
	return errors.As(err, &stale) || errors.As(err, &gone) || errors.As(err, &state) || errors.As(err, &wrong)
}
