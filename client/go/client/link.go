package client

import (
	"context"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

const (
	maxMessageBytes = 4 << 20
	// A page of a thousand tasks with long errors is more than we would ever send.
	maxAnswerBytes = 16 * maxMessageBytes

	firstPause   = 50 * time.Millisecond
	longestPause = time.Second
	// A call that lasted longer than this was surely connected: its loss is a new one.
	surelyConnected = 25 * time.Second
	deadlineSkew    = time.Second
)

// once are the calls whose repeated delivery does harm.
var once = map[string]bool{
	"/buildrunner_parallel.v1.CoordinatorService/Shutdown": true,
	"/buildrunner_parallel.v1.WorkerService/Register":      true,
	"/buildrunner_parallel.v1.WorkerService/ClaimTasks":    true,
}

// link is a connection that outlives its coordinator. It implements grpc.ClientConnInterface: unary calls get
// token, client id, deadline and request id, are repeated while the coordinator is away, and end with the
// errors of this package; streams get token and client id only.
type link struct {
	settings settings
	clientID string
	closed   atomic.Bool

	mu      sync.Mutex
	target  Target
	channel *grpc.ClientConn
}

func newLink(s settings) (*link, error) {
	target, err := s.given.locate()
	if err != nil {
		return nil, err
	}
	l := &link{settings: s, clientID: s.clientID, target: target}
	if l.clientID == "" {
		l.clientID = newID()
	}
	l.channel, err = l.open(target.Address)
	return l, err
}

func (l *link) open(address string) (*grpc.ClientConn, error) {
	options := []grpc.DialOption{
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{
			Time: 20 * time.Second, Timeout: 10 * time.Second, PermitWithoutStream: true,
		}),
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff: backoff.Config{
				BaseDelay: 50 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: 2 * time.Second,
			},
			MinConnectTimeout: 5 * time.Second,
		}),
		grpc.WithDefaultCallOptions(
			grpc.MaxCallRecvMsgSize(maxAnswerBytes), grpc.MaxCallSendMsgSize(maxMessageBytes)),
	}
	if onThisMachine(address) {
		options = append(options, grpc.WithNoProxy())
	}
	options = append(options, l.settings.dialOptions...)
	channel, err := grpc.NewClient(grpcTarget(address), options...)
	if err != nil {
		return nil, invalid("%q is no coordinator address: %v", address, err)
	}
	return channel, nil
}

// grpcTarget has the scheme that grpc-go wants; a unix path stands for itself.
func grpcTarget(address string) string {
	if strings.Contains(address, "://") || strings.HasPrefix(address, "unix:") {
		return address
	}
	return "dns:///" + address
}

// onThisMachine: a unix socket or loopback, where a proxy can only be in the way.
func onThisMachine(address string) bool {
	for _, start := range []string{"unix:", "unix-abstract:", "127.", "localhost", "[::1]", "passthrough:"} {
		if strings.HasPrefix(address, start) {
			return true
		}
	}
	return false
}

func (l *link) close() error {
	l.closed.Store(true)
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.channel.Close()
}

func (l *link) now() (*grpc.ClientConn, Target) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.channel, l.target
}

func (l *link) outgoing(ctx context.Context, token string) context.Context {
	ctx = metadata.AppendToOutgoingContext(ctx, "br-client-id", l.clientID)
	if token != "" {
		ctx = metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+token)
	}
	return ctx
}

// lookAgain finds the coordinator anew after `broken` was lost; another thread may have done so already.
func (l *link) lookAgain(broken *grpc.ClientConn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.channel != broken || l.closed.Load() {
		return
	}
	found, err := l.settings.given.locate()
	if err == nil && found.Address != l.target.Address {
		if channel, err := l.open(found.Address); err == nil {
			_ = broken.Close()
			l.channel = channel
			l.target = found
			return
		}
	}
	if err == nil {
		l.target = found
	}
	l.channel.ResetConnectBackoff()
}

type callTimeoutKey struct{}

// withCallTimeout sets what one try of a call may take; 0 is no limit.
func withCallTimeout(ctx context.Context, limit time.Duration) context.Context {
	return context.WithValue(ctx, callTimeoutKey{}, limit)
}

type waitsKey struct{}

// thatWaits marks a call whose answer is still to come when the coordinator ends in order.
func thatWaits(ctx context.Context) context.Context {
	return context.WithValue(ctx, waitsKey{}, true)
}

// Invoke makes a unary call, again and again while the coordinator is away.
func (l *link) Invoke(ctx context.Context, method string, request, answer any, options ...grpc.CallOption) error {
	request = withRequestID(request)
	limit, ok := ctx.Value(callTimeoutKey{}).(time.Duration)
	if !ok {
		limit = l.settings.callTimeout
	}
	waits := ctx.Value(waitsKey{}) != nil
	tries := patience{limit: l.settings.patience}
	for {
		channel, target := l.now()
		began := time.Now()
		err := l.try(ctx, channel, target, limit, method, request, answer, options)
		if err == nil {
			return nil
		}
		if isCallers(ctx, err) {
			return ofContext(ctx, "the call "+method[strings.LastIndexByte(method, '/')+1:])
		}
		if l.closed.Load() {
			return unavailable("", "the client is closed")
		}
		lost := isLoss(err, waits) || l.tokenChanged(err, target)
		if !lost || once[method] || !tries.again(ctx, began) {
			return fromStatus(err, target.Address)
		}
		l.lookAgain(channel)
	}
}

func (l *link) try(
	ctx context.Context, channel *grpc.ClientConn, target Target, limit time.Duration, method string,
	request, answer any, options []grpc.CallOption,
) error {
	ctx = l.outgoing(ctx, target.Token)
	if limit > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, limit)
		defer cancel()
	}
	return channel.Invoke(ctx, method, request, answer, options...)
}

// NewStream opens a stream on the present channel; whoever uses it comes back by itself.
func (l *link) NewStream(
	ctx context.Context, description *grpc.StreamDesc, method string, options ...grpc.CallOption,
) (grpc.ClientStream, error) {
	channel, target := l.now()
	return channel.NewStream(l.outgoing(ctx, target.Token), description, method, options...)
}

// tokenChanged: a refused token may have been replaced since, as when the state was made anew.
func (l *link) tokenChanged(err error, used Target) bool {
	if readDetails(err).code != codes.Unauthenticated {
		return false
	}
	found, err := l.settings.given.locate()
	return err == nil && found.Token != used.Token
}

// isCallers: the call ended because the caller's context did. The coordinator knows the deadline too, and may
// say so a moment before it has passed here.
func isCallers(ctx context.Context, err error) bool {
	deadline, ok := ctx.Deadline()
	if ok && status.Code(err) == codes.DeadlineExceeded && time.Until(deadline) < deadlineSkew {
		<-ctx.Done()
	}
	return ctx.Err() != nil
}

// isLoss: the call ended because the coordinator went away, and not because it said something.
func isLoss(err error, waits bool) bool {
	d := readDetails(err)
	if d.reason == "STOPPING" {
		// Whether it took effect is not known; the request id makes the repetition harmless.
		return true
	}
	gone := d.code == codes.Unavailable || d.code == codes.Canceled
	return gone && d.reason == "" || waits && d.code == codes.Unknown && d.reason == ""
}

// patience bounds the tries of one call: so long from when the coordinator was lost.
type patience struct {
	limit time.Duration
	until time.Time
	pause time.Duration
}

// again waits, with jitter, before the next try; false when it is time to give up.
func (p *patience) again(ctx context.Context, began time.Time) bool {
	now := time.Now()
	if p.until.IsZero() || now.Sub(began) > surelyConnected {
		p.until, p.pause = now.Add(p.limit), firstPause
	}
	if !now.Before(p.until) {
		return false
	}
	pause := min(firstPause+rand.N(p.pause), p.until.Sub(now))
	p.pause = min(2*p.pause, longestPause)
	select {
	case <-ctx.Done():
	case <-time.After(pause):
	}
	// What ended the wait is told by the next try.
	return true
}

// withRequestID gives a request that has room for one a request id, unless its caller did.
func withRequestID(request any) any {
	message, ok := request.(proto.Message)
	if !ok {
		return request
	}
	reflected := message.ProtoReflect()
	field := reflected.Descriptor().Fields().ByName("request_id")
	if field == nil || field.Kind() != protoreflect.StringKind || reflected.Get(field).String() != "" {
		return request
	}
	with := proto.Clone(message)
	with.ProtoReflect().Set(field, protoreflect.ValueOfString(newID()))
	return with
}
