// Package client talks to a coordinator of BuildRunner parallel: sessions, tasks, path locks, output, and the
// feed of changes.
//
//	c, err := client.New()                     // the workspace's coordinator
//	session, err := c.CreateSession(ctx, "checks")
//	_, err = c.Submit(ctx, session.SessionId, client.Task{ID: "unit", Argv: []string{"go", "test", "./..."}})
//	_, err = c.CloseSession(ctx, session.SessionId)
//	_, err = c.StartSession(ctx, session.SessionId)
//	session, err = c.WaitSession(ctx, session.SessionId)
//
// What the coordinator stores comes as the messages of package v1. Calls and waits outlive a restart of the
// coordinator: a call is repeated, under the same request id, for as long as WithPatience allows. Every error
// is one of the types in this package. A Client may be used by many goroutines.
package client

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"time"

	"google.golang.org/grpc"

	pb "buildrunner.dev/parallel/v1"
)

const (
	defaultCallTimeout = 30 * time.Second
	defaultPatience    = 30 * time.Second
)

type settings struct {
	given
	clientID    string
	callTimeout time.Duration
	patience    time.Duration
	dialOptions []grpc.DialOption
}

// Option is a setting of New.
type Option func(*settings)

// WithAddress names the coordinator, "unix:PATH" or "HOST:PORT"; without it BR_COORDINATOR does, else it is
// the workspace's own.
func WithAddress(address string) Option { return func(s *settings) { s.address = address } }

// WithToken presents this token; without it BR_TOKEN, then the file of BR_TOKEN_FILE, then the local one's.
func WithToken(token string) Option { return func(s *settings) { s.token = token } }

// WithTokenFile reads the token from a file, anew whenever the coordinator is looked for.
func WithTokenFile(path string) Option { return func(s *settings) { s.tokenFile = path } }

// WithDirectory finds the workspace of this directory instead of the current one.
func WithDirectory(path string) Option { return func(s *settings) { s.directory = path } }

// WithClientID names the space of this client's request ids, at most 128 bytes; by default a random one.
func WithClientID(id string) Option { return func(s *settings) { s.clientID = id } }

// WithCallTimeout bounds each try of a call that does not wait; 30 s by default.
func WithCallTimeout(limit time.Duration) Option { return func(s *settings) { s.callTimeout = limit } }

// WithPatience is for how long a call goes on trying after the coordinator went away: 30 s by default, 0 for
// not at all.
func WithPatience(limit time.Duration) Option { return func(s *settings) { s.patience = limit } }

// WithDialOptions adds options of gRPC, such as interceptors.
func WithDialOptions(options ...grpc.DialOption) Option {
	return func(s *settings) { s.dialOptions = append(s.dialOptions, options...) }
}

// Client is a connection to one coordinator. Close it when done.
type Client struct {
	link        *link
	coordinator pb.CoordinatorServiceClient
	events      pb.EventServiceClient
	locks       pb.LockServiceClient
	logs        pb.LogServiceClient
	sessions    pb.SessionServiceClient
	tasks       pb.TaskServiceClient
}

// New finds the coordinator as `br parallel` does: BR_COORDINATOR with BR_TOKEN or BR_TOKEN_FILE, else what
// the state directory of the workspace says (BR_STATE_DIR, else .buildrunner in the main worktree of the
// repository). It connects with the first call, and starts nothing.
//
// Errors: *UnavailableError when the workspace has no coordinator (reason NO_STATE if it never had one),
// *InvalidError for what is no address, *UnauthenticatedError for a token file that cannot be read.
func New(options ...Option) (*Client, error) {
	s := settings{callTimeout: defaultCallTimeout, patience: defaultPatience}
	for _, option := range options {
		option(&s)
	}
	l, err := newLink(s)
	if err != nil {
		return nil, err
	}
	return &Client{
		link:        l,
		coordinator: pb.NewCoordinatorServiceClient(l),
		events:      pb.NewEventServiceClient(l),
		locks:       pb.NewLockServiceClient(l),
		logs:        pb.NewLogServiceClient(l),
		sessions:    pb.NewSessionServiceClient(l),
		tasks:       pb.NewTaskServiceClient(l),
	}, nil
}

// Close ends the connection and every call on it.
func (c *Client) Close() error { return c.link.close() }

// Target is where the coordinator is at present.
func (c *Client) Target() Target {
	_, target := c.link.now()
	return target
}

// Conn is for the generated stubs of package v1, for calls that have no method here. Unary calls get token,
// client id, deadline and request id, are repeated while the coordinator is away, and end with the errors of
// this package; streams get token and client id, and their errors are those of gRPC: see FromStream.
func (c *Client) Conn() grpc.ClientConnInterface { return c.link }

// FromStream makes an error of this package of one that a stream of Conn ended with.
func (c *Client) FromStream(err error) error { return fromStatus(err, c.Target().Address) }

// LookAgain finds the coordinator anew after a stream of Conn was lost: at another address, if it has one,
// and without the pause before the next attempt to connect.
func (c *Client) LookAgain() {
	channel, _ := c.link.now()
	c.link.lookAgain(channel)
}

// Info is what the coordinator says of itself: version, store, epoch, capabilities.
func (c *Client) Info(ctx context.Context) (*pb.GetInfoResponse, error) {
	return c.coordinator.GetInfo(ctx, &pb.GetInfoRequest{})
}

// NewRequestID makes an id under which a repeated delivery of one intention is harmless. Every method that
// changes something makes its own; it is for calls through Conn and for SubmitOptions.
func NewRequestID() string { return newID() }

func newID() string {
	var id [16]byte
	_, _ = rand.Read(id[:])
	return hex.EncodeToString(id[:])
}
