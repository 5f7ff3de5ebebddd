package client

import (
	"context"
	"errors"
	"io"
	"iter"
	"time"

	"google.golang.org/protobuf/proto"

	pb "buildrunner.dev/parallel/v1"
)

// LogOptions of Logs; the zero value is all output of the session so far.
type LogOptions struct {
	// TaskID: of this task only. Attempt: of this run of it; 0 is the last.
	TaskID  string
	Attempt int
	// Channel: only standard output, or only standard error.
	Channel pb.OutputChannel
	// Follow goes on with what is written later, until the task or session is over.
	Follow bool
	// TailLines begins so many lines before the end; needs a task.
	TailLines int
}

// Logs reads output in pieces, without gap or repeat over restarts of the coordinator, up to the first error.
// The Chunk of each piece says its channel, its offset, and how many bytes are missing before it.
func (c *Client) Logs(
	ctx context.Context, sessionID string, options LogOptions,
) iter.Seq2[*pb.ReadOutputResponse, error] {
	return func(yield func(*pb.ReadOutputResponse, error) bool) {
		request := &pb.ReadOutputRequest{
			SessionId: sessionID, TaskId: options.TaskID, Attempt: int32(options.Attempt),
			Channel: options.Channel, Follow: options.Follow, TailLines: int32(options.TailLines),
		}
		seen := seenOutput{}
		tries := patience{limit: c.link.settings.patience}
		for {
			channel, target := c.link.now()
			began := time.Now()
			stopped := false
			err := c.readOutput(ctx, request, func(piece *pb.ReadOutputResponse) bool {
				tries = patience{limit: c.link.settings.patience}
				if piece = seen.newPart(piece); piece != nil {
					stopped = !yield(piece, nil)
				}
				return !stopped
			})
			if stopped || err == nil {
				return
			}
			if isCallers(ctx, err) {
				yield(nil, ofContext(ctx, "reading output"))
				return
			}
			if !isLoss(err, true) || c.link.closed.Load() || !tries.again(ctx, began) {
				yield(nil, fromStatus(err, target.Address))
				return
			}
			if len(seen) > 0 {
				// All of it again, passing over what was delivered: a new attempt may have begun.
				request.TailLines = 0
			}
			c.link.lookAgain(channel)
		}
	}
}

func (c *Client) readOutput(
	ctx context.Context, request *pb.ReadOutputRequest, take func(*pb.ReadOutputResponse) bool,
) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := c.logs.ReadOutput(ctx, request)
	if err != nil {
		return err
	}
	for {
		piece, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if !take(piece) {
			return nil
		}
	}
}

type attemptKey struct {
	taskID  string
	attempt int32
}

// seenOutput knows up to which offset the output of each attempt was delivered.
type seenOutput map[attemptKey]int64

// newPart is what of a piece was not delivered before; nil when all of it was.
func (s seenOutput) newPart(piece *pb.ReadOutputResponse) *pb.ReadOutputResponse {
	if piece.AttemptEnded {
		return piece
	}
	key := attemptKey{piece.TaskId, piece.Attempt}
	chunk := piece.GetChunk()
	end := chunk.GetOffset() + int64(len(chunk.GetData()))
	known, ok := s[key]
	if !ok {
		known = -1
	}
	// Of a gap too: what was read in time, and is not kept any more, was not left out here.
	dropped := min(chunk.GetDroppedBytes(), max(chunk.GetOffset()-max(known, 0), 0))
	if end <= known && dropped == 0 {
		return nil
	}
	s[key] = max(end, known)
	piece = proto.CloneOf(piece)
	if piece.Chunk == nil {
		return piece
	}
	piece.Chunk.DroppedBytes = dropped
	if known > chunk.GetOffset() {
		piece.Chunk.Data = piece.Chunk.Data[known-chunk.GetOffset():]
		piece.Chunk.Offset = known
		piece.Chunk.DroppedBytes = 0
	}
	return piece
}
