package client

import (
	"context"
	"iter"
	"time"

	"google.golang.org/protobuf/proto"

	"buildrunner.dev/parallel/internal/asker"
	pb "buildrunner.dev/parallel/v1"
)

// Forever as LockOptions.Wait waits without an end.
const Forever time.Duration = -1

// LockOptions of AcquireLocks and Lock.
type LockOptions struct {
	// Wait is how long to stand in the queue: 0 tries once, Forever has no end but the context's.
	Wait time.Duration
	// Lease is the time after which the grant ends unless it is renewed, 1 s to 1 h. For Lock 0 means 30 s;
	// for AcquireLocks it means that the session itself holds the paths until they are released or it ends.
	Lease time.Duration
}

// AcquireLocks takes all of the paths or none, and leaves renewing and releasing to the caller: see Lock for a
// grant that is looked after. In a task, in a handler, and with a context of Grant.Context it asks on behalf
// of that task or grant, so that what that holds is not in the way.
//
// Errors: *ConflictError with every clash, *DeadlockError when waiting would close a circle, *StaleError when
// the task or grant asked for has ended.
func (c *Client) AcquireLocks(
	ctx context.Context, sessionID string, items []Path, options LockOptions,
) (*pb.AcquireLocksResponse, error) {
	requested, err := c.requests(items)
	if err != nil {
		return nil, err
	}
	request := &pb.AcquireLocksRequest{
		RequestId: newID(), SessionId: sessionID, Paths: requested, WaitMs: milliseconds(options.Wait),
	}
	if options.Lease != 0 {
		request.LeaseMs = proto.Int64(milliseconds(options.Lease))
	}
	who := asker.For(ctx, sessionID)
	if who.AttemptID != "" {
		request.AttemptId, request.Fence = who.AttemptID, who.Fence
	} else if who.GrantID != "" && options.Lease != 0 {
		// What has no lease is the session's own, and not part of what the grant protects.
		request.HeldGrantId, request.HeldFence = who.GrantID, who.Fence
	}
	switch {
	case options.Wait < 0:
		ctx = thatWaits(withCallTimeout(ctx, 0))
	case options.Wait > 0:
		ctx = thatWaits(withCallTimeout(ctx, options.Wait+c.link.settings.callTimeout))
	}
	return c.locks.AcquireLocks(ctx, request)
}

// milliseconds rounds up, so that a wait or lease that is not 0 never becomes 0.
func milliseconds(d time.Duration) int64 {
	if d < 0 {
		return -1
	}
	return int64((d + time.Millisecond - 1) / time.Millisecond)
}

// ReleaseOptions say what ReleaseLocks gives back.
type ReleaseOptions struct {
	// Paths; none: all that the session itself holds, or all of the grant.
	Paths []Path
	// GrantID and Fence of one grant; empty: whichever grant holds the paths.
	GrantID string
	Fence   int64
}

// ReleaseLocks gives paths back, and returns what was freed. Errors: *NotFoundError for a path that is not
// held, *StaleError for a fence that is not that of the grant.
func (c *Client) ReleaseLocks(
	ctx context.Context, sessionID string, options ReleaseOptions,
) ([]*pb.PathLock, error) {
	requested, err := c.requests(options.Paths)
	if err != nil {
		return nil, err
	}
	answer, err := c.locks.ReleaseLocks(ctx, &pb.ReleaseLocksRequest{
		SessionId: sessionID, Paths: requested, GrantId: options.GrantID, Fence: options.Fence,
	})
	return answer.GetReleased(), err
}

// RenewLease begins the lease of a grant anew; how long it is. Error: *StaleError when it is lost.
func (c *Client) RenewLease(ctx context.Context, grantID string, fence int64) (time.Duration, error) {
	answer, err := c.locks.RenewLease(ctx, &pb.RenewLeaseRequest{GrantId: grantID, Fence: fence})
	return time.Duration(answer.GetLeaseMs()) * time.Millisecond, err
}

// Locks lists what is held; by one session, if one is named.
func (c *Client) Locks(ctx context.Context, sessionID string) iter.Seq2[*pb.PathLock, error] {
	return pages(func(token string) ([]*pb.PathLock, string, error) {
		answer, err := c.locks.ListLocks(ctx, &pb.ListLocksRequest{
			SessionId: sessionID, PageSize: pageSize, PageToken: token,
		})
		return answer.GetLocks(), answer.GetNextPageToken(), err
	})
}

// PreviewLocks says who would be in the way, without asking for anything.
func (c *Client) PreviewLocks(
	ctx context.Context, sessionID string, items []Path,
) ([]*pb.LockConflict, error) {
	requested, err := c.requests(items)
	if err != nil {
		return nil, err
	}
	who := asker.For(ctx, sessionID)
	answer, err := c.locks.PreviewLocks(ctx, &pb.PreviewLocksRequest{
		SessionId: sessionID, Paths: requested,
		AttemptId: who.AttemptID, GrantId: who.GrantID, Fence: who.Fence,
	})
	return answer.GetConflicts(), err
}

// ForceRelease takes a lock away from its holder; the reason is kept with it. A task that holds it is stopped
// first, and fails.
func (c *Client) ForceRelease(ctx context.Context, lockID, reason string) (*pb.PathLock, error) {
	answer, err := c.locks.ForceRelease(ctx, &pb.ForceReleaseRequest{LockId: lockID, Reason: reason})
	return answer.GetLock(), err
}
