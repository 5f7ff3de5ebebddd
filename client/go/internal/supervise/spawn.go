//go:build linux

package supervise

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

const defaultPath = "/usr/local/bin:/usr/bin:/bin"

// spawn starts a process in a session of its own. It dies with the thread that this is called on.
func spawn(request *Run, null, output, errors *os.File) (int, *Refused) {
	refuse := func(format string, arguments ...any) (int, *Refused) {
		return 0, &Refused{Key: request.Key, Message: fmt.Sprintf(format, arguments...)}
	}
	if info, err := os.Stat(request.Dir); err != nil || !info.IsDir() {
		return refuse("working directory %q: %v", request.Dir, errnoOf(err, syscall.ENOTDIR))
	}
	if unix.Access(request.Dir, unix.X_OK) != nil {
		return refuse("working directory %q: %v", request.Dir, syscall.EACCES)
	}
	if len(request.Argv) == 0 || request.Argv[0] == "" {
		return refuse("the command is empty")
	}
	program, err := findProgram(request.Argv[0], request.Dir, request.Env)
	if err != nil {
		return refuse("%v", err)
	}
	pid, err := syscall.ForkExec(program, request.Argv, &syscall.ProcAttr{
		Dir:   request.Dir,
		Env:   request.Env,
		Files: []uintptr{null.Fd(), output.Fd(), errors.Fd()},
		Sys:   &syscall.SysProcAttr{Setsid: true, Pdeathsig: syscall.SIGKILL},
	})
	if err != nil {
		return 0, failure(request.Key, program, request.Dir, err)
	}
	return pid, nil
}

// findProgram is the file that a name stands for: itself when it has a slash, else the first match on the
// PATH of the task.
func findProgram(name, dir string, env []string) (string, error) {
	if strings.Contains(name, "/") {
		return name, nil
	}
	search := defaultPath
	for _, entry := range env {
		if path, ok := strings.CutPrefix(entry, "PATH="); ok {
			search = path
		}
	}
	for _, folder := range strings.Split(search, ":") {
		if folder == "" {
			folder = "."
		}
		if !filepath.IsAbs(folder) {
			folder = filepath.Join(dir, folder)
		}
		candidate := folder + "/" + name
		info, err := os.Stat(candidate)
		if err == nil && !info.IsDir() && unix.Access(candidate, unix.X_OK) == nil {
			return candidate, nil
		}
	}
	return "", fmt.Errorf("program not found: %q is not on PATH (%s)", name, search)
}

func failure(key, program, dir string, err error) *Refused {
	var number syscall.Errno
	if !errors.As(err, &number) {
		return &Refused{Key: key, Message: fmt.Sprintf("cannot start %q: %v", program, err)}
	}
	whole := program
	if !filepath.IsAbs(whole) {
		whole = filepath.Join(dir, whole)
	}
	_, missing := os.Stat(whole)
	message, fault := fmt.Sprintf("cannot start %q: %v", program, number), false
	switch {
	case number == syscall.ENOENT && missing == nil:
		message = fmt.Sprintf("cannot start %q: the interpreter it names is missing", program)
	case number == syscall.ENOENT || number == syscall.ENOTDIR || number == syscall.ELOOP:
		message = fmt.Sprintf("program not found: %q", program)
	case number == syscall.EACCES || number == syscall.EPERM:
		message = fmt.Sprintf("not permitted to execute %q", program)
	case number == syscall.E2BIG:
		message = fmt.Sprintf("cannot start %q: arguments and environment are too large", program)
	case number == syscall.ENOEXEC || number == syscall.ENAMETOOLONG || number == syscall.EINVAL:
	default:
		// No memory, no process numbers, no descriptors.
		fault = true
	}
	return &Refused{Key: key, Message: message, WorkerFault: fault}
}

func errnoOf(err error, otherwise error) error {
	var number syscall.Errno
	if errors.As(err, &number) {
		return number
	}
	return otherwise
}
