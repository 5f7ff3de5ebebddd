//go:build linux

package worker

import (
	"context"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"buildrunner.dev/parallel/internal/boottime"
	pb "buildrunner.dev/parallel/v1"
)

const (
	maxMessageBytes  = 4 << 20
	firstPause       = 50 * time.Millisecond
	longestPause     = 2 * time.Second
	welcomeLimit     = 10 * time.Second
	silentIntervals  = 3
	defaultHeartbeat = 10 * time.Second
	farewellLimit    = 2 * time.Second
	rememberedBeats  = 64

	outputMessageBytes = 256 << 10
	leastRoom          = 1 << 10
	streamAfter        = 200 * time.Millisecond
	outputRetry        = 500 * time.Millisecond
)

// refusals end a worker: trying again would be answered the same.
var refusals = []codes.Code{
	codes.Unauthenticated, codes.PermissionDenied, codes.FailedPrecondition, codes.InvalidArgument,
	codes.Unimplemented,
}

// serve talks to the coordinator, again and again, until the worker is to end.
func (w *Worker) serve() {
	pause := firstPause
	for {
		talk := w.newConversation()
		token := w.client.Target().Token
		err := talk.run()
		w.mu.Lock()
		w.talk, w.isGreeting = nil, false
		isOver := w.outcome != nil
		w.mu.Unlock()
		if isOver {
			return
		}
		w.client.LookAgain()
		code := status.Code(err)
		if code == codes.Unauthenticated && w.client.Target().Token != token {
			code = codes.Unavailable // the state was made anew, with another token
		}
		w.judge(talk, err, code)
		if pause = min(2*pause, longestPause); talk.welcome != nil {
			pause = firstPause
		}
		select {
		case <-w.over:
			return
		case <-time.After(rand.N(pause)):
		}
	}
}

// conversation is one stream: hello, welcome, then both ways until it ends.
type conversation struct {
	worker   *Worker
	ctx      context.Context
	cancel   context.CancelFunc
	stream   pb.WorkerService_ConnectClient
	wanted   chan struct{}
	output   chan struct{}
	goodbye  chan struct{}
	leave    sync.Once
	welcome  *pb.Welcome
	interval time.Duration
	heardAt  atomic.Int64
	silence  atomic.Int64
	said     chan struct{}

	// Of heartbeats that were not answered yet; under the worker's lock.
	sequence int64
	sentAt   map[int64]boottime.Moment
}

func (w *Worker) newConversation() *conversation {
	c := &conversation{
		worker: w, wanted: make(chan struct{}, 1), output: make(chan struct{}, 1),
		goodbye: make(chan struct{}), said: make(chan struct{}), sentAt: map[int64]boottime.Moment{},
	}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	c.heard()
	return c
}

func (c *conversation) wake()       { poke(c.wanted) }
func (c *conversation) wakeOutput() { poke(c.output) }
func (c *conversation) sayGoodbye() { c.leave.Do(func() { close(c.goodbye) }) }
func (c *conversation) heard()      { c.heardAt.Store(int64(boottime.Now())) }

func poke(wanted chan<- struct{}) {
	select {
	case wanted <- struct{}{}:
	default:
	}
}

// heartbeatSent says when the heartbeat that is answered was sent.
func (c *conversation) heartbeatSent(sequence int64) (boottime.Moment, bool) {
	at, ok := c.sentAt[sequence]
	delete(c.sentAt, sequence)
	return at, ok
}

// run talks until the stream ends, for whatever reason; the error is that of gRPC.
func (c *conversation) run() error {
	var sides sync.WaitGroup
	defer sides.Wait()
	defer c.cancel()
	go func() {
		select {
		case <-c.worker.over:
			// Whoever said goodbye waits for the answer in its own time.
			select {
			case <-c.said:
			default:
				c.cancel()
			}
		case <-c.ctx.Done():
		}
	}()
	c.silence.Store(int64(welcomeLimit))
	go c.watchSilence()
	stream, err := c.worker.workers.Connect(c.ctx)
	if err != nil {
		return err
	}
	c.stream = stream
	c.worker.mu.Lock()
	hello := c.worker.hello()
	c.worker.isGreeting = true
	c.worker.mu.Unlock()
	helloSentAt := boottime.Now()
	if err := stream.Send(&pb.ConnectRequest{Hello: hello}); err != nil {
		return c.ended(err)
	}
	first, err := stream.Recv()
	if err != nil {
		return err
	}
	c.heard()
	if refusal := c.begin(first, helloSentAt); refusal != "" {
		return status.Error(codes.Unavailable, refusal)
	}
	sides.Go(c.write)
	sides.Go(c.sendOutput)
	for response := first; ; {
		c.worker.mu.Lock()
		c.worker.received(response, c)
		c.worker.mu.Unlock()
		if response, err = stream.Recv(); err != nil {
			return c.ended(err)
		}
		c.heard()
	}
}

func (c *conversation) begin(first *pb.ConnectResponse, helloSentAt boottime.Moment) string {
	w := c.worker
	w.mu.Lock()
	defer w.mu.Unlock()
	if refusal := w.welcomed(first.GetWelcome(), helloSentAt); refusal != "" {
		return refusal
	}
	c.welcome = first.Welcome
	c.interval = defaultHeartbeat
	if ms := c.welcome.HeartbeatIntervalMs; ms > 0 {
		c.interval = max(time.Duration(ms)*time.Millisecond, 20*time.Millisecond)
	}
	c.silence.Store(int64(max(silentIntervals*c.interval, time.Second)))
	w.talk, w.isGreeting = c, false
	return ""
}

// ended is the status that the stream ended with; an end in order is one too.
func (c *conversation) ended(err error) error {
	if _, isStatus := status.FromError(err); isStatus {
		return err
	}
	// EOF: of a failed Send the reason is to be read; of a Recv there is none.
	if _, told := c.stream.Recv(); told != nil {
		if _, isStatus := status.FromError(told); isStatus {
			return told
		}
	}
	return status.Error(codes.Unavailable, "the coordinator has closed the stream")
}

// watchSilence ends a stream whose other side is silent, although the connection stands.
func (c *conversation) watchSilence() {
	for {
		limit := time.Duration(c.silence.Load())
		select {
		case <-c.ctx.Done():
			return
		case <-time.After(min(limit/4, time.Second)):
		}
		if boottime.Now().Sub(boottime.Moment(c.heardAt.Load())) > limit {
			c.cancel()
			return
		}
	}
}

// write says what there is to say, with heartbeats on time, and in the end goodbye.
func (c *conversation) write() {
	nextBeat := time.Now()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-c.ctx.Done():
			return
		case <-c.wanted:
		case <-timer.C:
		case <-c.goodbye:
			c.farewell()
			return
		}
		for {
			request, isBeat := c.next(!time.Now().Before(nextBeat))
			if isBeat {
				nextBeat = time.Now().Add(c.interval)
			}
			if request == nil {
				break
			}
			if c.stream.Send(request) != nil {
				return // the reader sees the same end and tells why
			}
		}
		timer.Reset(max(0, time.Until(nextBeat)))
	}
}

func (c *conversation) next(beatIsDue bool) (request *pb.ConnectRequest, isBeat bool) {
	w := c.worker
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.talk != c {
		return nil, beatIsDue
	}
	if !w.book.outgoing.isEmpty() {
		request = w.book.outgoing.take()
	}
	if beatIsDue {
		if request == nil {
			request = &pb.ConnectRequest{}
		}
		c.sequence++
		c.sentAt[c.sequence] = boottime.Now()
		delete(c.sentAt, c.sequence-rememberedBeats)
		request.Heartbeat = &pb.Heartbeat{Sequence: c.sequence, Held: w.book.held()}
	}
	if request == nil && w.leaving {
		w.leaveIfDone()
	}
	return request, beatIsDue
}

// farewell says what is left to say and goodbye, closes this side, and waits for the end of the other.
func (c *conversation) farewell() {
	for {
		request, _ := c.next(false)
		if request == nil {
			break
		}
		if c.stream.Send(request) != nil {
			return
		}
	}
	close(c.said)
	c.worker.mu.Lock()
	c.worker.end(nil)
	c.worker.mu.Unlock()
	if c.stream.Send(&pb.ConnectRequest{Goodbye: &pb.Goodbye{Reason: "drained"}}) == nil {
		_ = c.stream.CloseSend()
	}
	select {
	case <-c.ctx.Done():
	case <-time.After(farewellLimit):
		c.cancel()
	}
}

// sendOutput sends output that is not small, on a stream of its own that is opened when there is something to
// send and opened anew after a break.
func (c *conversation) sendOutput() {
	for {
		request := c.nextOutput(c.ctx)
		if request == nil {
			return
		}
		c.writeOutput(request)
		c.worker.mu.Lock()
		for _, one := range c.worker.book.withOutput {
			one.output.rewind()
		}
		c.worker.mu.Unlock()
		select {
		case <-c.ctx.Done():
			return
		case <-time.After(outputRetry/2 + rand.N(outputRetry/2)):
		}
	}
}

func (c *conversation) writeOutput(request *pb.WriteOutputRequest) {
	ctx, cancel := context.WithCancel(c.ctx)
	defer cancel()
	stream, err := c.worker.logs.WriteOutput(ctx)
	if err != nil {
		return
	}
	isRead := make(chan struct{})
	defer func() { cancel(); <-isRead }()
	go func() {
		defer close(isRead)
		defer cancel()
		for {
			answer, err := stream.Recv()
			if err != nil {
				return
			}
			c.worker.lock(func() {
				for _, word := range answer.Acknowledgements {
					c.worker.book.acknowledgeOutput(word)
				}
			})
		}
	}()
	for request != nil && stream.Send(request) == nil {
		request = c.nextOutput(ctx)
	}
}

// nextOutput waits until there is something to send; nil when the context has ended.
func (c *conversation) nextOutput(ctx context.Context) *pb.WriteOutputRequest {
	for {
		c.worker.mu.Lock()
		var request *pb.WriteOutputRequest
		if c.worker.talk == c {
			request = c.worker.book.nextOutput(c.worker.workerID, time.Now())
		}
		c.worker.mu.Unlock()
		if request != nil {
			return request
		}
		select {
		case <-ctx.Done():
			return nil
		case <-c.output:
		}
	}
}
