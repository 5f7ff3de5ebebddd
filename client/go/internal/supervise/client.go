//go:build linux

package supervise

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const quitLimit = 5 * time.Second

// Client is the worker's end of one supervisor.
type Client struct {
	conn    *net.UnixConn
	process *exec.Cmd
	events  chan Event
	gone    chan struct{}

	mu     sync.Mutex
	queue  []packet
	wake   chan struct{}
	closed bool
}

type packet struct {
	data  []byte
	files []*os.File
}

// Start makes a supervisor process.
func Start(scratch string) (*Client, error) {
	ends, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("no socket for the supervisor: %w", err)
	}
	theirs := os.NewFile(uintptr(ends[1]), "supervisor")
	defer theirs.Close()
	conn, err := packetConn(os.NewFile(uintptr(ends[0]), "worker"))
	if err != nil {
		return nil, err
	}
	// What this program is stays the same even when its file is replaced.
	process := &exec.Cmd{
		Path: "/proc/self/exe", Args: []string{processName}, Dir: "/", Stderr: os.Stderr,
		ExtraFiles: []*os.File{theirs},
		// Signals from a terminal are for the worker alone.
		SysProcAttr: &syscall.SysProcAttr{Setpgid: true},
	}
	if err := process.Start(); err != nil {
		_ = conn.Close()
		return nil, fmt.Errorf("the supervisor cannot be started: %w", err)
	}
	c := &Client{
		conn: conn, process: process, events: make(chan Event, 64),
		gone: make(chan struct{}), wake: make(chan struct{}, 1),
	}
	go c.read()
	go c.write()
	return c, c.Send(Request{Configure: &Configure{Scratch: scratch}})
}

func packetConn(file *os.File) (*net.UnixConn, error) {
	defer file.Close()
	conn, err := net.FileConn(file)
	if err != nil {
		return nil, fmt.Errorf("the supervisor's socket: %w", err)
	}
	packets, ok := conn.(*net.UnixConn)
	if !ok {
		return nil, errors.New("the supervisor's socket is of another kind")
	}
	// A task's arguments and environment travel in one packet.
	_ = packets.SetWriteBuffer(packetBytes)
	return packets, nil
}

// Events is closed when the supervisor is gone.
func (c *Client) Events() <-chan Event { return c.events }

// Send never blocks; what it is given besides is closed once it is sent. A message that is too large for a
// packet is an error.
func (c *Client) Send(request Request, files ...*os.File) error {
	data, err := encode(&request)
	if err == nil && len(data) > packetBytes/4 {
		err = fmt.Errorf("%d bytes are more than fit", len(data))
	}
	if err != nil {
		closeAll(files)
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		closeAll(files)
		return nil
	}
	c.queue = append(c.queue, packet{data, files})
	select {
	case c.wake <- struct{}{}:
	default:
	}
	return nil
}

func (c *Client) write() {
	for {
		select {
		case <-c.wake:
		case <-c.gone:
			c.mu.Lock()
			defer c.mu.Unlock()
			c.closed = true
			for _, one := range c.queue {
				closeAll(one.files)
			}
			c.queue = nil
			return
		}
		c.mu.Lock()
		queue := c.queue
		c.queue = nil
		c.mu.Unlock()
		for _, one := range queue {
			// A failure means that it is gone, which the reader notices.
			_, _, _ = c.conn.WriteMsgUnix(one.data, rights(one.files), nil)
			closeAll(one.files)
		}
	}
}

func rights(files []*os.File) []byte {
	if len(files) == 0 {
		return nil
	}
	numbers := make([]int, len(files))
	for i, file := range files {
		numbers[i] = int(file.Fd())
	}
	return unix.UnixRights(numbers...)
}

func closeAll(files []*os.File) {
	for _, file := range files {
		_ = file.Close()
	}
}

func (c *Client) read() {
	defer close(c.events)
	defer close(c.gone)
	buffer := make([]byte, packetBytes)
	for {
		n, err := c.conn.Read(buffer)
		if err != nil || n == 0 {
			break
		}
		var event Event
		if decode(buffer[:n], &event) != nil {
			break
		}
		c.events <- event
	}
	_ = c.conn.Close()
	_ = c.process.Wait()
}

// Close ends the supervisor and everything that it has started, and waits for that, some seconds at most.
func (c *Client) Close(grace time.Duration) {
	_ = c.Send(Request{Quit: &Quit{Grace: grace}})
	limit := time.After(quitLimit)
	for {
		select {
		case _, ok := <-c.events:
			if !ok {
				return
			}
		case <-limit:
			_ = c.conn.Close()
			_ = c.process.Process.Kill()
			return
		}
	}
}
