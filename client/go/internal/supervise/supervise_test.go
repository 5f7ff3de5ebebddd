//go:build linux

package supervise

import (
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"buildrunner.dev/parallel/internal/boottime"
)

// Far beyond what any machine needs: nothing here passes because something was quick.
const giveUp = 60 * time.Second

type bench struct {
	*testing.T
	client *Client
	folder string
	output map[string]chan string
}

func newBench(t *testing.T) *bench {
	t.Helper()
	folder := t.TempDir()
	scratch := filepath.Join(folder, "scratch")
	if err := os.Mkdir(scratch, 0o700); err != nil {
		t.Fatal(err)
	}
	client, err := Start(scratch)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close(0) })
	return &bench{t, client, folder, map[string]chan string{}}
}

// shell starts a line as run `key`; change may set what is not usual.
func (b *bench) shell(key, line string, change func(*Run)) {
	b.Helper()
	run := &Run{
		Key: key, Argv: []string{"/bin/sh", "-c", line}, Dir: b.folder,
		Env: []string{"PATH=" + os.Getenv("PATH"), "BR_FENCE=" + b.Name() + key}, Mark: "BR_FENCE=" + b.Name() + key,
		Grace: giveUp,
	}
	if change != nil {
		change(run)
	}
	reading, writing, err := os.Pipe()
	if err != nil {
		b.Fatal(err)
	}
	read := make(chan string, 1)
	go func() {
		text, _ := io.ReadAll(reading)
		_ = reading.Close()
		read <- string(text)
	}()
	b.output[key] = read
	again, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		b.Fatal(err)
	}
	if err := b.client.Send(Request{Run: run}, writing, again); err != nil {
		b.Fatal(err)
	}
}

func (b *bench) next() Event {
	b.Helper()
	select {
	case event, ok := <-b.client.Events():
		if !ok {
			b.Fatal("the supervisor is gone")
		}
		return event
	case <-time.After(giveUp):
		b.Fatal("no event")
	}
	return Event{}
}

// started waits for the start of a run, and ended for its end.
func (b *bench) started() *Started {
	b.Helper()
	event := b.next()
	if event.Started == nil {
		b.Fatalf("no start but %+v", event)
	}
	return event.Started
}

func (b *bench) ended() *Ended {
	b.Helper()
	event := b.next()
	if event.Ended == nil {
		b.Fatalf("no end but %+v", event)
	}
	return event.Ended
}

// pidIn waits until a file has a number.
func (b *bench) pidIn(name string) int {
	b.Helper()
	for deadline := time.Now().Add(giveUp); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		text, _ := os.ReadFile(filepath.Join(b.folder, name))
		if pid, err := strconv.Atoi(strings.TrimSpace(string(text))); err == nil {
			return pid
		}
	}
	b.Fatalf("no pid in %s", name)
	return 0
}

func isAlive(pid int) bool {
	stat, ok := statOf(pid)
	return ok && stat.state != "Z"
}

func (b *bench) mustBeGone(pid int) {
	b.Helper()
	if isAlive(pid) {
		b.Errorf("process %d is still there", pid)
	}
}

func (b *bench) waitUntilGone(pid int) {
	b.Helper()
	for deadline := time.Now().Add(giveUp); isAlive(pid); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			b.Fatalf("process %d does not go", pid)
		}
	}
}

func TestARunTellsItsExitAndItsOutput(t *testing.T) {
	b := newBench(t)
	b.shell("a", "echo here $PPID; exit 3", nil)
	started, ended := b.started(), b.ended()
	if started.Pid == 0 || started.StartedAtUs == 0 || ended.ExitCode != 3 || ended.Signal != 0 || ended.Cause != "" {
		t.Errorf("%+v, %+v", started, ended)
	}
	if text := <-b.output["a"]; !strings.HasPrefix(text, "here ") {
		t.Errorf("output %q", text)
	}
}

func TestASignalIsToldAsOne(t *testing.T) {
	b := newBench(t)
	b.shell("a", "kill -KILL $$", nil)
	b.started()
	if ended := b.ended(); ended.Signal != int(syscall.SIGKILL) {
		t.Errorf("%+v", ended)
	}
}

func TestARunIsOverOnlyWhenWhatItLeftBehindIsGone(t *testing.T) {
	for name, line := range map[string]string{
		"in its group":        "sleep 1000 & echo $! > left; exit 0",
		"in another session":  "setsid sh -c 'echo $$ > left; exec sleep 1000' & while [ ! -s left ]; do sleep 0.01; done",
		"forked twice":        "setsid sh -c '(setsid sh -c \"echo \\$\\$ > left; exec sleep 1000\" &)' & while [ ! -s left ]; do sleep 0.01; done",
		"ignoring SIGTERM":    "(trap '' TERM; sh -c 'echo $$ > left; while :; do sleep 1000; done') & while [ ! -s left ]; do sleep 0.01; done",
		"without environment": "setsid env -i /bin/sh -c 'echo $$ > left; exec /bin/sleep 1000' & while [ ! -s left ]; do sleep 0.01; done",
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			b.shell("a", line, nil)
			b.started()
			if ended := b.ended(); ended.ExitCode != 0 || ended.Cause != "" {
				t.Errorf("%+v", ended)
			}
			b.mustBeGone(b.pidIn("left"))
		})
	}
}

func TestWhatBelongsToAnotherRunIsLeftAlone(t *testing.T) {
	b := newBench(t)
	b.shell("other", "setsid sh -c 'echo $$ > left; exec sleep 1000' & while [ ! -e stop ]; do sleep 0.01; done", nil)
	b.started()
	left := b.pidIn("left")
	b.shell("a", "exit 0", nil)
	b.started()
	if ended := b.ended(); ended.Key != "a" || !isAlive(left) {
		t.Errorf("%+v; the other's process is there: %v", ended, isAlive(left))
	}
	if err := os.WriteFile(filepath.Join(b.folder, "stop"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	b.ended()
	b.mustBeGone(left)
}

func TestATimeoutKillsWhatIgnoresSIGTERM(t *testing.T) {
	b := newBench(t)
	b.shell("a", "trap '' TERM; setsid sleep 1000 & echo $! > left; while :; do sleep 1000; done", func(run *Run) {
		run.Timeout, run.Grace = 300*time.Millisecond, 100*time.Millisecond
	})
	b.started()
	if ended := b.ended(); ended.Cause != CauseTimeout || ended.Signal != int(syscall.SIGKILL) {
		t.Errorf("%+v", ended)
	}
	b.mustBeGone(b.pidIn("left"))
}

func TestAStopLeavesTimeToCleanUp(t *testing.T) {
	b := newBench(t)
	b.shell("a", "trap 'echo cleaned; exit 7' TERM; echo $$ > ready; while :; do sleep 0.01; done", nil)
	b.started()
	b.pidIn("ready")
	if err := b.client.Send(Request{Stop: &Stop{Key: "a", Grace: giveUp, Cause: CauseCancel}}); err != nil {
		t.Fatal(err)
	}
	if ended := b.ended(); ended.Cause != CauseCancel || ended.ExitCode != 7 {
		t.Errorf("%+v", ended)
	}
	if text := <-b.output["a"]; text != "cleaned\n" {
		t.Errorf("output %q", text)
	}
}

func TestTheEndOfTheLeaseEndsWhatRunsAndRefusesWhatDoesNot(t *testing.T) {
	b := newBench(t)
	b.shell("a", "trap '' TERM; while :; do sleep 1000; done", nil)
	b.started()
	past := boottime.Now() - 1
	if err := b.client.Send(Request{Lease: &Lease{StopAt: past, KillAt: past}}); err != nil {
		t.Fatal(err)
	}
	if event := b.next(); !event.LeaseOver {
		t.Errorf("%+v", event)
	}
	if ended := b.ended(); ended.Cause != CauseLease {
		t.Errorf("%+v", ended)
	}
	b.shell("late", "exit 0", nil)
	if event := b.next(); event.Refused == nil || !event.Refused.NoLease {
		t.Errorf("%+v", event)
	}
	ahead := boottime.Now().Add(time.Hour)
	if err := b.client.Send(Request{Lease: &Lease{StopAt: ahead, KillAt: ahead}}); err != nil {
		t.Fatal(err)
	}
	b.shell("again", "exit 0", nil)
	b.started()
	b.ended()
}

func TestAStoppedWorkerHoldsUpNothing(t *testing.T) {
	b := newBench(t)
	soon := boottime.Now().Add(500 * time.Millisecond)
	b.shell("a", "echo $$ > left; exec sleep 1000", nil)
	left := b.pidIn("left")
	if err := b.client.Send(Request{Lease: &Lease{StopAt: soon, KillAt: soon}}); err != nil {
		t.Fatal(err)
	}
	// Nobody reads the events meanwhile.
	b.waitUntilGone(left)
}

func TestEverythingEndsWithTheWorker(t *testing.T) {
	b := newBench(t)
	b.shell("a", "setsid sleep 1000 & echo $! > left; trap '' TERM; echo $$ > main; while :; do sleep 1000; done", nil)
	left, main := b.pidIn("left"), b.pidIn("main")
	_ = b.client.conn.Close()
	b.waitUntilGone(left)
	b.waitUntilGone(main)
	b.waitUntilGone(b.client.process.Process.Pid)
	if _, err := os.Stat(filepath.Join(b.folder, "scratch")); !os.IsNotExist(err) {
		t.Errorf("the scratch folder is still there: %v", err)
	}
}

func TestEverythingEndsWithTheSupervisor(t *testing.T) {
	b := newBench(t)
	mark := "BR_WORKER_ID=" + t.Name() + strconv.Itoa(os.Getpid())
	b.shell("a", "setsid sh -c 'sleep 1000 & echo $! > left; wait' & echo $$ > main; exec sleep 1000", func(run *Run) {
		run.Env = append(run.Env, mark)
	})
	left, main := b.pidIn("left"), b.pidIn("main")
	_ = b.client.process.Process.Kill()
	b.waitUntilGone(main) // the kernel's doing
	KillMarked(mark)
	b.waitUntilGone(left)
}

func TestWhatCannotStartSaysWhy(t *testing.T) {
	b := newBench(t)
	script := filepath.Join(b.folder, "script")
	if err := os.WriteFile(script, []byte("#!/nowhere/sh\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	plain := filepath.Join(b.folder, "plain")
	if err := os.WriteFile(plain, []byte("text"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, one := range []struct {
		argv []string
		dir  string
		want string
	}{
		{[]string{"no-such-program-here"}, b.folder, "is not on PATH"},
		{[]string{"./absent"}, b.folder, `program not found: "./absent"`},
		{[]string{script}, b.folder, "interpreter it names is missing"},
		{[]string{plain}, b.folder, "not permitted to execute"},
		{[]string{"true"}, filepath.Join(b.folder, "absent"), "working directory"},
		{[]string{"true"}, plain, "not a directory"},
		{[]string{""}, b.folder, "the command is empty"},
	} {
		b.shell("a", "", func(run *Run) { run.Argv, run.Dir = one.argv, one.dir })
		event := b.next()
		if event.Refused == nil || event.Refused.WorkerFault || !strings.Contains(event.Refused.Message, one.want) {
			t.Errorf("%v in %s: %+v", one.argv, one.dir, event.Refused)
		}
	}
}

func TestAProgramIsLookedForOnTheTasksOwnPath(t *testing.T) {
	b := newBench(t)
	folder := filepath.Join(b.folder, "bin")
	if err := os.Mkdir(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(folder, "own"), []byte("#!/bin/sh\nexit 9\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	b.shell("a", "", func(run *Run) { run.Argv, run.Env = []string{"own"}, []string{"PATH=bin"} })
	b.started()
	if ended := b.ended(); ended.ExitCode != 9 {
		t.Errorf("%+v", ended)
	}
}

func TestTooLargeForAPacketIsAnError(t *testing.T) {
	b := newBench(t)
	run := &Run{Key: "a", Argv: []string{strings.Repeat("x", packetBytes)}}
	if err := b.client.Send(Request{Run: run}); err == nil {
		t.Error("no error")
	}
}

func TestALargeCommandLineFits(t *testing.T) {
	b := newBench(t)
	b.shell("a", "printf %s \"$1\" | wc -c", func(run *Run) {
		run.Argv = append(run.Argv, "sh", strings.Repeat("x", 120<<10))
	})
	b.started()
	b.ended()
	if text := strings.TrimSpace(<-b.output["a"]); text != strconv.Itoa(120<<10) {
		t.Errorf("output %q", text)
	}
}

const helperVariable = "BR_TEST_WORKER_WITH_HANDLER"

// The supervisor kills the process of a worker whose handler does not return: this is that process.
func TestHelperWorkerWithAHandler(t *testing.T) {
	if os.Getenv(helperVariable) == "" {
		t.Skip("only as a process of its own")
	}
	client, err := Start("")
	if err != nil {
		t.Fatal(err)
	}
	past := boottime.Now() - 1
	_ = client.Send(Request{Handlers: &Handlers{Running: true}})
	_ = client.Send(Request{Lease: &Lease{StopAt: past, KillAt: past}})
	time.Sleep(giveUp)
}

func TestAHandlerThatOutlivesTheLeaseEndsWithItsProcess(t *testing.T) {
	process := exec.Command("/proc/self/exe", "-test.run=^TestHelperWorkerWithAHandler$")
	process.Env = append(os.Environ(), helperVariable+"=1")
	err := process.Run()
	status, ok := process.ProcessState.Sys().(syscall.WaitStatus)
	if err == nil || !ok || status.Signal() != syscall.SIGKILL {
		t.Errorf("%v, %v", err, process.ProcessState)
	}
}
