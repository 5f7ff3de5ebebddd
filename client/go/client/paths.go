package client

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"unicode/utf8"

	pb "buildrunner.dev/parallel/v1"
)

const (
	resourcePrefix = "res:"
	wildcards      = "*?[{"
	maxPathBytes   = 4096
)

// Path is something to lock. Exclusive and Shared make them from names.
type Path struct {
	// Name of a file, a directory or a glob, relative to the client's directory; "res:NAME" is a name without
	// a file.
	Name string
	// Mode is EXCLUSIVE unless it says SHARED.
	Mode pb.LockMode
	// Kind is found out from the file system: what exists literally is FILE, or TREE when it is a directory.
	// When it is set, the name is from the root of the repository and is sent as it is; AUTO goes by its
	// text.
	Kind pb.LockKind
}

// Exclusive: nobody else may hold anything that overlaps.
func Exclusive(names ...string) []Path { return paths(names, pb.LockMode_LOCK_MODE_EXCLUSIVE) }

// Shared: others may hold them shared too.
func Shared(names ...string) []Path { return paths(names, pb.LockMode_LOCK_MODE_SHARED) }

func paths(names []string, mode pb.LockMode) []Path {
	made := make([]Path, len(names))
	for i, name := range names {
		made[i] = Path{Name: name, Mode: mode}
	}
	return made
}

func (c *Client) requests(items []Path) ([]*pb.PathRequest, error) {
	if len(items) == 0 {
		return nil, nil
	}
	workspace, err := FindWorkspace(c.link.settings.directory)
	if err != nil {
		return nil, invalid("the current directory cannot be looked at: %v", err)
	}
	made := make([]*pb.PathRequest, len(items))
	for i, item := range items {
		if made[i], err = item.request(workspace); err != nil {
			return nil, err
		}
	}
	return made, nil
}

func (p Path) request(workspace Workspace) (*pb.PathRequest, error) {
	problem := p.problem()
	if problem == "" && p.Kind != pb.LockKind_LOCK_KIND_UNSPECIFIED {
		return &pb.PathRequest{Path: p.Name, Mode: p.Mode, Kind: p.Kind}, nil
	}
	if problem == "" {
		if name, kind, ok := p.resolve(workspace); ok {
			return &pb.PathRequest{Path: name, Mode: p.Mode, Kind: kind}, nil
		}
		problem = "which is outside the repository " + workspace.Worktree +
			"; locks are for paths inside it, or names such as res:database"
	}
	return nil, invalid("cannot lock %q, %s", shortened(p.Name), problem)
}

// problem is why the name can be no path to lock, wherever it is.
func (p Path) problem() string {
	switch {
	case p.Name == "":
		return `which is empty; the whole repository is "."`
	case strings.ContainsRune(p.Name, 0):
		return "which has a NUL, as no path can"
	case !utf8.ValidString(p.Name):
		return "which is not UTF-8; lock its directory instead"
	case len(p.Name) > maxPathBytes:
		return fmt.Sprintf("which has %d bytes, and %d is the most", len(p.Name), maxPathBytes)
	}
	return ""
}

// resolve gives the path from the repository's root; false for one outside.
func (p Path) resolve(workspace Workspace) (string, pb.LockKind, bool) {
	if strings.HasPrefix(p.Name, resourcePrefix) {
		return p.Name, pb.LockKind_LOCK_KIND_RESOURCE, true
	}
	whole := workspace.whole(p.Name)
	if strings.ContainsAny(p.Name, wildcards) {
		if _, err := os.Lstat(whole); err != nil {
			name, ok := p.pattern(workspace)
			return name, pb.LockKind_LOCK_KIND_GLOB, ok
		}
	}
	kind := pb.LockKind_LOCK_KIND_FILE
	if info, err := os.Stat(whole); strings.HasSuffix(p.Name, "/") || err == nil && info.IsDir() {
		kind = pb.LockKind_LOCK_KIND_TREE
	}
	name, ok := workspace.inside(followLinks(filepath.Clean(whole)))
	return name, kind, ok
}

// pattern is the glob from the root: links in front of its first wildcard followed, and what is not the
// caller's own text taken literally.
func (p Path) pattern(workspace Workspace) (string, bool) {
	segments := strings.Split(p.Name, "/")
	literal := 0
	for literal < len(segments)-1 && !strings.ContainsAny(segments[literal], wildcards) {
		literal++
	}
	parent := strings.Join(segments[:literal], "/")
	if literal > 0 {
		parent += "/"
	}
	base, ok := workspace.inside(followLinks(filepath.Clean(workspace.whole(parent))))
	rest := strings.Join(segments[literal:], "/")
	if base == "." {
		return rest, ok
	}
	return escaped(base) + "/" + rest, ok
}

// escaped is a glob that matches exactly this path.
func escaped(path string) string {
	var made strings.Builder
	for _, letter := range path {
		if strings.ContainsRune(wildcards, letter) {
			made.WriteString("[" + string(letter) + "]")
		} else {
			made.WriteRune(letter)
		}
	}
	return made.String()
}

// whole is a path from the file system's root, as it is written.
func (w Workspace) whole(name string) string {
	if strings.HasPrefix(name, "/") {
		return name
	}
	return filepath.Join(w.Worktree, w.Directory) + "/" + name
}

// inside is the path from the repository's root, in whichever of its checkouts; false for one outside.
func (w Workspace) inside(whole string) (string, bool) {
	if name, ok := belowOf(w.Worktree, whole); ok {
		return name, true
	}
	there, err := FindWorkspace(filepath.Dir(whole))
	if err != nil || there.Root != w.Root {
		return "", false
	}
	return belowOf(there.Worktree, whole)
}

// below is a directory as tasks say it: relative to the worktree, or absolute when it is not in there.
func (w Workspace) below(directory string) string {
	if directory == "" {
		return w.Directory
	}
	whole := filepath.Clean(w.whole(directory))
	name, ok := belowOf(w.Worktree, whole)
	switch {
	case !ok:
		return whole
	case name == ".":
		return ""
	}
	return name
}

func belowOf(root, whole string) (string, bool) {
	if whole == root {
		return ".", true
	}
	return strings.CutPrefix(whole, strings.TrimSuffix(root, "/")+"/")
}

func shortened(text string) string {
	if len(text) <= 200 {
		return text
	}
	return strings.ToValidUTF8(text[:200], "") + "..."
}
