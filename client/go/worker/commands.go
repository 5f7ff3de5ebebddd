//go:build linux

package worker

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"buildrunner.dev/parallel/internal/supervise"
	pb "buildrunner.dev/parallel/v1"
)

const (
	resultLimit = 1 << 20
	readBytes   = 64 << 10
	// For what is still in the pipes of a run that is over: whoever has the other end is out of reach.
	drainLimit = time.Second
)

// pipes are the reading ends of a command's output.
type pipes struct {
	ends   [2]*os.File
	isRead sync.WaitGroup
}

// startCommand hands a command to the supervisor. Called with the lock held.
func (w *Worker) startCommand(a *attempt) {
	argv := a.GetSpec().GetCommand().GetArgv()
	if line := a.GetSpec().GetCommand().GetShellLine(); line != "" {
		argv = []string{"/bin/sh", "-c", line}
	}
	folder, err := w.slotFolder(a.slots[0])
	if err != nil {
		w.book.finish(a, a.notStarted("no folder for its result: "+err.Error(), true))
		return
	}
	env := maps.Clone(w.baseEnv)
	maps.Copy(env, taskEnvironment(a.Assignment))
	maps.Copy(env, map[string]string{
		"BR_WORKER_ID":   w.workerID,
		"BR_COORDINATOR": w.client.Target().Address,
		"BR_SLOT":        strconv.Itoa(a.slots[0]),
		"BR_RESULT_FILE": filepath.Join(folder, "result"),
		"BR_ERROR_FILE":  filepath.Join(folder, "error"),
	})
	writing, err := w.openPipes(a)
	if err != nil {
		w.book.finish(a, a.notStarted("no pipes for its output: "+err.Error(), true))
		return
	}
	err = w.supervisor.Send(supervise.Request{Run: &supervise.Run{
		Key: a.AttemptId, Argv: argv, Env: entries(env),
		Dir:     workingDirectory(a.GetSpec().GetDirectory(), w.options.Directory),
		Timeout: a.timeout(), Grace: a.grace(), Mark: fmt.Sprintf("BR_FENCE=%d", a.Fence),
	}}, writing...)
	if err != nil {
		w.book.finish(a, a.notStarted("arguments and environment are too large: "+err.Error(), false))
	}
}

func (w *Worker) slotFolder(slot int) (string, error) {
	folder := filepath.Join(w.scratch, "slot-"+strconv.Itoa(slot))
	return folder, os.MkdirAll(folder, 0o700)
}

// openPipes begins to read what the command will write; the writing ends are for the supervisor.
func (w *Worker) openPipes(a *attempt) ([]*os.File, error) {
	a.pipes = &pipes{}
	var writing []*os.File
	for i := range a.pipes.ends {
		reading, theirs, err := os.Pipe()
		if err == nil {
			writing = append(writing, theirs)
			a.pipes.ends[i] = reading
			// Ours waits for the poller, but a task expects a pipe that blocks.
			err = unix.SetNonblock(int(theirs.Fd()), false)
		}
		if err != nil {
			for _, file := range append(writing, a.pipes.ends[:]...) {
				_ = file.Close()
			}
			return nil, err
		}
	}
	channels := []pb.OutputChannel{pb.OutputChannel_OUTPUT_CHANNEL_STDOUT, pb.OutputChannel_OUTPUT_CHANNEL_STDERR}
	for i, reading := range a.pipes.ends {
		a.pipes.isRead.Add(1)
		go w.readPipe(a, reading, channels[i])
	}
	return writing, nil
}

func (w *Worker) readPipe(a *attempt, reading *os.File, channel pb.OutputChannel) {
	defer a.pipes.isRead.Done()
	defer reading.Close()
	buffer := make([]byte, readBytes)
	for {
		n, err := reading.Read(buffer)
		if n > 0 {
			w.lock(func() { w.book.onOutput(a, channel, buffer[:n]) })
			w.wakeOutput()
		}
		if err != nil {
			return
		}
	}
}

// onSupervisor takes one event of the supervisor's.
func (w *Worker) onSupervisor(event supervise.Event) {
	switch {
	case event.Started != nil:
		w.lock(func() {
			if a := w.book.attempts[event.Started.Key]; a != nil {
				w.book.onStarted(a, event.Started.Pid, event.Started.StartedAtUs)
			}
		})
	case event.Refused != nil:
		w.lock(func() {
			if a := w.book.attempts[event.Refused.Key]; a != nil {
				w.onRefused(a, event.Refused)
			}
		})
	case event.Ended != nil:
		w.lock(func() {
			if a := w.book.attempts[event.Ended.Key]; a != nil && a.state != over {
				// Until its output is read it counts as running, for its slot has its files.
				go w.finishCommand(a, event.Ended)
			}
		})
	case event.LeaseOver:
		w.lock(func() {
			w.log.Warn("the lease is over: handlers are asked to end")
			w.stopHandlers(supervise.CauseLease)
		})
	}
}

func (w *Worker) onRefused(a *attempt, refused *supervise.Refused) {
	if refused.NoLease {
		w.book.onNoLease(a)
		return
	}
	w.book.finish(a, a.notStarted(refused.Message, refused.WorkerFault))
}

func (w *Worker) finishCommand(a *attempt, how *supervise.Ended) {
	for _, reading := range a.pipes.ends {
		_ = reading.SetReadDeadline(time.Now().Add(drainLimit))
	}
	a.pipes.isRead.Wait()
	folder := filepath.Join(w.scratch, "slot-"+strconv.Itoa(a.slots[0]))
	result, size, hasResult := takeFile(filepath.Join(folder, "result"), resultLimit, false)
	told, _, _ := takeFile(filepath.Join(folder, "error"), errorLimit, true)
	message := lastLine(told)
	if size > resultLimit {
		result, hasResult = nil, false
		if message == "" {
			message = fmt.Sprintf("the result file is larger than %d bytes and was dropped", resultLimit)
		}
	}
	w.lock(func() { w.book.finish(a, a.endedReport(how, result, hasResult, message)) })
	w.wakeOutput()
}

// takeFile reads a regular file up to a limit, from its end if asked to, and removes it; whatever else stands
// there is removed unread. It also gives the file's size.
func takeFile(path string, limit int64, fromEnd bool) ([]byte, int64, bool) {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if errors.Is(err, syscall.ENOENT) {
		return nil, 0, false
	}
	defer os.RemoveAll(path)
	if err != nil {
		return nil, 0, false
	}
	file := os.NewFile(uintptr(fd), path)
	defer file.Close()
	info, err := file.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return nil, 0, false
	}
	from := int64(0)
	if fromEnd {
		from = max(0, info.Size()-limit)
	}
	data, err := io.ReadAll(io.NewSectionReader(file, from, limit))
	return data, info.Size(), err == nil
}
