//go:build linux

package worker

import (
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"

	pb "buildrunner.dev/parallel/v1"
)

var allowed = []string{
	"PATH", "HOME", "USER", "SHELL", "LANG", "TZ", "TMPDIR", "VIRTUAL_ENV", "CI",
	"LC_*", "XDG_*", "*_PROXY", "*_proxy",
}

var secrets = []string{"BR_TOKEN", "BR_TOKEN_FILE"}

// baseEnvironment is what tasks see of the worker's own environment.
func baseEnvironment(own, passed []string) map[string]string {
	env := map[string]string{}
	patterns := slices.Concat(allowed, passed)
	for _, entry := range own {
		name, value, _ := strings.Cut(entry, "=")
		isAllowed := slices.ContainsFunc(patterns, func(pattern string) bool {
			ok, err := path.Match(pattern, name)
			return err == nil && ok
		})
		if isAllowed && !slices.Contains(secrets, name) {
			env[name] = value
		}
	}
	return env
}

// taskEnvironment is what its submitter passed and set, and what a task is told of itself; tokens never.
func taskEnvironment(assignment *pb.Assignment) map[string]string {
	env := map[string]string{}
	maps.Copy(env, assignment.GetSpec().GetPassedEnvironment())
	maps.Copy(env, assignment.GetSpec().GetEnvironment())
	for _, name := range secrets {
		delete(env, name)
	}
	maps.Copy(env, map[string]string{
		"BR_SESSION_ID":   assignment.SessionId,
		"BR_SESSION_NAME": assignment.SessionName,
		"BR_TASK_ID":      assignment.GetSpec().GetTaskId(),
		"BR_ATTEMPT":      strconv.Itoa(int(assignment.Number)),
		"BR_ATTEMPT_ID":   assignment.AttemptId,
		"BR_FENCE":        strconv.FormatInt(assignment.Fence, 10),
	})
	return env
}

func entries(env map[string]string) []string {
	made := make([]string, 0, len(env))
	for _, name := range slices.Sorted(maps.Keys(env)) {
		made = append(made, name+"="+env[name])
	}
	return made
}

// workingDirectory is where a task runs; `otherwise` when it does not say.
func workingDirectory(directory *pb.WorkingDirectory, otherwise string) string {
	below := directory.GetPath()
	if strings.HasPrefix(below, "/") {
		return below
	}
	root := directory.GetWorktree()
	if root == "" {
		root = otherwise
	}
	if below == "" {
		return root
	}
	return strings.TrimSuffix(root, "/") + "/" + below
}
