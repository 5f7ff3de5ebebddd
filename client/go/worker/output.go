//go:build linux

package worker

import (
	"time"

	pb "buildrunner.dev/parallel/v1"
)

const (
	inlineLimit   = 32 << 10
	pieceBytes    = 64 << 10
	pieceCost     = 32
	leastLiveRate = 64 << 10
	liveBurst     = 250 * time.Millisecond
	errorTail     = 4 << 10

	// What is kept of an output where the coordinator does not say.
	defaultHead = 8 << 20
	defaultTail = 2 << 20
)

type segment struct {
	offset  int64
	channel pb.OutputChannel
	data    []byte
}

func (s segment) end() int64 { return s.offset + int64(len(s.data)) }

// outputBuffer holds the output of one attempt on its way to the coordinator: by offset, acknowledged, bounded.
//
// Both channels share one line of offsets in the order read. The beginning is sent whole. Behind it only the
// newest bytes are held: while the attempt runs they are sent at a bounded rate and some are left out, at its
// end all that is held follows. A piece is left out only if so much was written behind it that it is no part
// of the end that is kept.
type outputBuffer struct {
	headLimit, tailLimit int64
	head, tail           []segment
	total                int64

	next         int64
	acknowledged int64
	streamed     bool
	finished     bool
	firstUnsent  time.Time
	liveFrom     time.Time
	lastErrors   []byte
}

func newOutputBuffer(headLimit, tailLimit int64) *outputBuffer {
	if headLimit == 0 && tailLimit == 0 {
		headLimit, tailLimit = defaultHead, defaultTail
	}
	return &outputBuffer{headLimit: headLimit, tailLimit: tailLimit}
}

func (b *outputBuffer) append(channel pb.OutputChannel, data []byte, now time.Time) {
	if channel == pb.OutputChannel_OUTPUT_CHANNEL_STDERR {
		b.lastErrors = append(b.lastErrors, data...)
		b.lastErrors = b.lastErrors[max(0, len(b.lastErrors)-errorTail):]
	}
	if b.next == b.total {
		b.firstUnsent = now
	}
	if room := b.headLimit - b.total; room > 0 {
		part := data[:min(int64(len(data)), room)]
		b.head = extend(b.head, segment{b.total, channel, part})
		b.total += int64(len(part))
		data = data[len(part):]
	}
	if len(data) > 0 {
		b.tail = extend(b.tail, segment{b.total, channel, data})
		b.total += int64(len(data))
		b.tail = forgetBefore(b.tail, b.tailFrom())
	}
}

// extend adds a copy; what follows on the same channel is joined, so that a byte at a time costs no segment
// each.
func extend(segments []segment, more segment) []segment {
	if n := len(segments); n > 0 {
		last := &segments[n-1]
		if last.channel == more.channel && last.end() == more.offset && len(last.data)+len(more.data) <= pieceBytes {
			last.data = append(last.data, more.data...)
			return segments
		}
	}
	more.data = append([]byte(nil), more.data...)
	return append(segments, more)
}

func forgetBefore(segments []segment, offset int64) []segment {
	for len(segments) > 0 && segments[0].end() <= offset {
		segments[0].data = nil
		segments = segments[1:]
	}
	if len(segments) > 0 && segments[0].offset < offset {
		segments[0].data = segments[0].data[offset-segments[0].offset:]
		segments[0].offset = offset
	}
	return segments
}

func (b *outputBuffer) tailFrom() int64 { return max(b.headLimit, b.total-b.tailLimit) }

// dropped is what of the output is not kept.
func (b *outputBuffer) dropped() int64 { return max(b.total-b.headLimit-b.tailLimit, 0) }

// fitsInline: the whole output may travel in the report.
func (b *outputBuffer) fitsInline() bool { return !b.streamed && b.total <= inlineLimit }

func (b *outputBuffer) isAcknowledged() bool { return b.acknowledged >= b.total }

// isDue: take would give something. Small output of what runs waits a little: if its task ends soon it travels
// in the report. Behind the beginning it is rationed.
func (b *outputBuffer) isDue(now time.Time) bool {
	if b.next >= b.total {
		return false
	}
	if b.finished {
		return !b.fitsInline()
	}
	if b.next >= b.headLimit {
		return b.tailLimit > 0 && !now.Before(b.liveFrom)
	}
	return b.streamed || b.total > inlineLimit || now.Sub(b.firstUnsent) >= streamAfter
}

// take gives the next pieces to send, about so many bytes but at least one piece; they stay held.
func (b *outputBuffer) take(limit int, now time.Time) []*pb.OutputChunk {
	b.streamed = true
	taken := b.pieces(b.next, limit)
	live := 0
	for _, one := range taken {
		b.next = one.Offset + int64(len(one.Data))
		if one.Offset >= b.headLimit {
			live += len(one.Data)
		}
	}
	if live > 0 {
		rate := max(b.tailLimit, leastLiveRate)
		if earliest := now.Add(-liveBurst); b.liveFrom.Before(earliest) {
			b.liveFrom = earliest
		}
		b.liveFrom = b.liveFrom.Add(time.Duration(float64(live) / float64(rate) * float64(time.Second)))
	}
	return taken
}

// pieces gives what is held from a position on; while the attempt runs, beginning and end are not mixed.
func (b *outputBuffer) pieces(position int64, limit int) []*pb.OutputChunk {
	var made []*pb.OutputChunk
	groups := [][]segment{b.head, b.tail}
	if position < b.headLimit && !b.finished {
		groups = groups[:1]
	}
	for _, group := range groups {
		for _, one := range group {
			for one.end() > position && limit > 0 {
				offset := max(position, one.offset)
				rest := one.data[offset-one.offset:]
				size := min(len(rest), pieceBytes, max(limit-pieceCost, 1))
				made = append(made, &pb.OutputChunk{
					Offset: offset, Channel: one.channel, Data: rest[:size:size], DroppedBytes: offset - position,
				})
				position = offset + int64(size)
				limit -= size + pieceCost
			}
		}
	}
	if b.finished && limit > 0 && position < b.total {
		made = append(made, &pb.OutputChunk{
			Offset: b.total, Channel: pb.OutputChannel_OUTPUT_CHANNEL_STDOUT, DroppedBytes: b.total - position,
		})
	}
	return made
}

// all is everything, for the report of a small output.
func (b *outputBuffer) all() []*pb.OutputChunk { return b.pieces(0, 1<<30) }

// acknowledge: everything before the offset is durable and is let go.
func (b *outputBuffer) acknowledge(offset int64) {
	b.acknowledged = max(b.acknowledged, min(offset, b.total))
	b.next = max(b.next, b.acknowledged)
	b.head = forgetBefore(b.head, b.acknowledged)
	b.tail = forgetBefore(b.tail, b.acknowledged)
}

// rewind sends again all that is not acknowledged: the stream before is gone.
func (b *outputBuffer) rewind() { b.next = b.acknowledged }
