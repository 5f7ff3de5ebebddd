//go:build linux

package supervise

import (
	"fmt"
	"net"
	"os"
	"os/signal"
	"runtime"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	processName   = "br-worker-supervisor"
	quitGrace     = 500 * time.Millisecond
	quitAtLast    = 2500 * time.Millisecond
	checkInterval = 20 * time.Millisecond
	leaseGrace    = time.Hour
	sendLimit     = time.Second
	outboxEvents  = 1 << 16
)

// A program that was started under this name is a supervisor, whatever else it would do: it never gets as far
// as main.
func init() {
	if len(os.Args) == 1 && os.Args[0] == processName {
		// What is started here dies with the thread that starts it: this one lasts as long as the process.
		runtime.LockOSThread()
		os.Exit(serve(os.NewFile(3, "worker")))
	}
}

type delivery struct {
	request Request
	files   []*os.File
}

type supervisor struct {
	endings  *endings
	lease    *LeaseClock
	byKey    map[string]*run
	null     *os.File
	scratch  string
	worker   int
	handlers bool
	// When everything was told to stop; zero before.
	quitting time.Time
	told     bool
	isGone   bool
	// A worker that is stopped does not read; that must hold up nothing here.
	outbox chan []byte
}

func serve(socket *os.File) int {
	worker := os.Getppid()
	conn, err := packetConn(socket)
	if err == nil {
		err = unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
	}
	null, nullErr := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err == nil {
		err = nullErr
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, processName+":", err)
		return 1
	}
	signals := make(chan os.Signal, 8)
	// SIGINT and SIGHUP are taken and passed over: ignored ones would stay ignored in every task.
	signal.Notify(signals, syscall.SIGCHLD, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP)
	requests := make(chan delivery)
	go receive(conn, requests)
	s := &supervisor{
		lease: NewLeaseClock(), byKey: map[string]*run{}, null: null, worker: worker,
		outbox: make(chan []byte, outboxEvents),
	}
	s.endings = newEndings(s.over)
	isSent := make(chan struct{})
	go deliver(conn, s.outbox, isSent)
	s.loop(requests, signals)
	close(s.outbox)
	select {
	case <-isSent:
	case <-time.After(sendLimit):
	}
	if s.scratch != "" {
		_ = os.RemoveAll(s.scratch)
	}
	return 0
}

// receive reads packets until the worker is gone, then closes the channel.
func receive(conn *net.UnixConn, requests chan<- delivery) {
	defer close(requests)
	data, control := make([]byte, packetBytes), make([]byte, 256)
	for {
		n, controlLen, _, _, err := conn.ReadMsgUnix(data, control)
		if err != nil || n == 0 {
			return
		}
		var one delivery
		messages, err := unix.ParseSocketControlMessage(control[:controlLen])
		if err == nil {
			for _, message := range messages {
				numbers, _ := unix.ParseUnixRights(&message)
				for _, number := range numbers {
					one.files = append(one.files, os.NewFile(uintptr(number), "pipe"))
				}
			}
		}
		if decode(data[:n], &one.request) != nil {
			return
		}
		requests <- one
	}
}

func (s *supervisor) loop(requests <-chan delivery, signals <-chan os.Signal) {
	timer := time.NewTimer(0)
	for !s.isDone() {
		timer.Reset(s.wait())
		select {
		case one, ok := <-requests:
			if ok {
				s.take(one)
			} else {
				requests, s.isGone = nil, true
				s.quit(quitGrace)
			}
		case number := <-signals:
			switch number {
			case syscall.SIGTERM:
				s.quit(quitGrace)
			case syscall.SIGCHLD:
				s.endings.reap()
			}
		case <-timer.C:
		}
		s.enforceLease()
		s.endings.onTime(time.Now())
	}
}

func (s *supervisor) isDone() bool {
	if s.quitting.IsZero() {
		return false
	}
	if len(s.endings.open) == 0 {
		return true
	}
	if time.Since(s.quitting) < quitAtLast {
		return false
	}
	for _, pid := range treeOf(childrenOf(os.Getpid())) {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
	// Who still talks to the worker waits for the kernel to be done with them.
	return s.isGone
}

func (s *supervisor) wait() time.Duration {
	wait := time.Second
	if due := s.endings.due; !due.IsZero() {
		wait = min(wait, time.Until(due))
	}
	if !s.quitting.IsZero() {
		wait = min(wait, checkInterval)
	}
	if left, ok := s.lease.Wait(); ok && (len(s.byKey) > 0 || s.handlers) {
		wait = min(wait, max(left, checkInterval))
	}
	return max(wait, 0)
}

func (s *supervisor) send(event Event) {
	data, err := encode(&event)
	if err == nil && !s.isGone {
		s.outbox <- data
	}
}

func deliver(conn *net.UnixConn, outbox <-chan []byte, isSent chan<- struct{}) {
	defer close(isSent)
	for data := range outbox {
		// A failure means that the worker is gone, which receive notices.
		_, _ = conn.Write(data)
	}
}

func (s *supervisor) take(one delivery) {
	defer closeAll(one.files)
	request := one.request
	switch {
	case request.Configure != nil:
		s.scratch = request.Configure.Scratch
	case request.Lease != nil:
		s.lease.Renew(*request.Lease)
		s.told = false
	case request.Run != nil && len(one.files) == 2:
		s.start(request.Run, one.files[0], one.files[1])
	case request.Stop != nil:
		if run := s.byKey[request.Stop.Key]; run != nil {
			s.endings.stop(run, request.Stop.Cause, request.Stop.Grace)
		}
	case request.Handlers != nil:
		s.handlers = request.Handlers.Running
	case request.Quit != nil:
		s.quit(request.Quit.Grace)
	}
}

func (s *supervisor) start(request *Run, output, errors *os.File) {
	var pid int
	refused := &Refused{Key: request.Key, NoLease: true, Message: "the worker's lease has run out"}
	if !s.quitting.IsZero() {
		refused.Message = "the worker ends"
	} else if s.lease.State() == Valid {
		pid, refused = spawn(request, s.null, output, errors)
	}
	if refused != nil {
		s.send(Event{Refused: refused})
		return
	}
	now := time.Now()
	one := &run{request: request, pid: pid, started: now, orphans: map[int]bool{}, told: map[int]bool{}}
	s.byKey[request.Key] = one
	s.send(Event{Started: &Started{Key: request.Key, Pid: pid, StartedAtUs: now.UnixMicro()}})
	s.endings.add(one)
}

func (s *supervisor) over(one *run) {
	delete(s.byKey, one.request.Key)
	ended := &Ended{
		Key: one.request.Key, Cause: one.cause, EndedAtUs: one.ended.UnixMicro(),
		UserUs:      one.usage.Utime.Nano() / 1000,
		SystemUs:    one.usage.Stime.Nano() / 1000,
		MaxRSSBytes: one.usage.Maxrss * 1024,
	}
	if one.status.Signaled() {
		ended.Signal = int(one.status.Signal())
	} else {
		ended.ExitCode = one.status.ExitStatus()
	}
	s.send(Event{Ended: ended})
}

func (s *supervisor) quit(grace time.Duration) {
	for _, one := range s.endings.runs() {
		s.endings.stop(one, CauseStop, grace)
	}
	if s.quitting.IsZero() {
		s.quitting = time.Now()
	}
}

func (s *supervisor) enforceLease() {
	if len(s.byKey) == 0 && !s.handlers {
		return
	}
	state := s.lease.State()
	if state == Valid {
		return
	}
	if !s.told {
		s.told = true
		s.send(Event{LeaseOver: true})
	}
	grace := leaseGrace
	if state == Kill {
		grace = 0
	}
	for _, one := range s.endings.runs() {
		s.endings.stop(one, CauseLease, grace)
	}
	if state == Kill && s.handlers && os.Getppid() == s.worker {
		// No function can be killed, only the process that it runs in, even while that is stopped.
		fmt.Fprintln(os.Stderr, processName+": the lease is over and a handler has not returned: the worker is killed")
		_ = syscall.Kill(s.worker, syscall.SIGKILL)
		s.handlers = false
	}
}
