package client

import (
	"os"
	"path/filepath"
	"strings"
)

const stateDirectory = ".buildrunner"

// Workspace is one repository with all its git worktrees, or a directory without git.
type Workspace struct {
	// Root is the main worktree's root, or the directory itself without git.
	Root string
	// Worktree is the checkout that the caller is in.
	Worktree string
	// StateDir is where the local coordinator keeps its state.
	StateDir string
	// Directory is where the caller is below the worktree, "/"-separated; empty at its root.
	Directory string
}

// FindWorkspace says which workspace a directory (empty: the current one) belongs to. BR_STATE_DIR overrides
// its StateDir. It reads a few small files, and creates nothing.
func FindWorkspace(directory string) (Workspace, error) {
	start, err := realPath(directory)
	if err != nil {
		return Workspace{}, err
	}
	worktree := parentWith(start, ".git", false)
	if worktree == "" {
		worktree = parentWith(start, stateDirectory, true)
	}
	if worktree == "" {
		worktree = start
	}
	found := Workspace{Root: mainWorktree(worktree), Worktree: worktree}
	found.StateDir = filepath.Join(found.Root, stateDirectory)
	if told := os.Getenv("BR_STATE_DIR"); told != "" {
		if found.StateDir, err = filepath.Abs(told); err != nil {
			return Workspace{}, err
		}
	}
	if below, err := filepath.Rel(worktree, start); err == nil && below != "." {
		found.Directory = filepath.ToSlash(below)
	}
	return found, nil
}

// HasState says whether a coordinator has ever run here.
func (w Workspace) HasState() bool {
	return exists(filepath.Join(w.StateDir, "state.db")) || exists(filepath.Join(w.StateDir, coordinatorFile))
}

func realPath(path string) (string, error) {
	whole, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	return followLinks(whole), nil
}

// followLinks is filepath.EvalSymlinks for paths whose end may not exist yet.
func followLinks(path string) string {
	rest := ""
	for at := path; ; at = filepath.Dir(at) {
		if real, err := filepath.EvalSymlinks(at); err == nil {
			return filepath.Join(real, rest)
		}
		if at == filepath.Dir(at) {
			return path
		}
		rest = filepath.Join(filepath.Base(at), rest)
	}
}

func parentWith(start, name string, mustBeDirectory bool) string {
	for at := start; ; at = filepath.Dir(at) {
		info, err := os.Stat(filepath.Join(at, name))
		if err == nil && (info.IsDir() || !mustBeDirectory) {
			return at
		}
		if at == filepath.Dir(at) {
			return ""
		}
	}
}

// mainWorktree is the root shared by all worktrees of the repository that `worktree` is a checkout of.
func mainWorktree(worktree string) string {
	git := filepath.Join(worktree, ".git")
	if info, err := os.Stat(git); err != nil || info.IsDir() {
		return worktree
	}
	directory := linked(git, "gitdir:")
	if directory == "" {
		return worktree
	}
	common := linked(filepath.Join(directory, "commondir"), "")
	if info, err := os.Stat(common); common == "" || err != nil || !info.IsDir() {
		// A submodule or a separate git directory: its own main worktree.
		return worktree
	}
	if filepath.Base(common) == ".git" {
		return filepath.Dir(common)
	}
	// The worktrees of a bare repository share that repository's own directory.
	return common
}

// linked is the path that a file of git's names, relative to where the file is; empty when it names none.
func linked(file, prefix string) string {
	text, err := os.ReadFile(file)
	if err != nil || !strings.HasPrefix(string(text), prefix) {
		return ""
	}
	path := strings.TrimSpace(strings.TrimPrefix(string(text), prefix))
	if !filepath.IsAbs(path) {
		path = filepath.Join(filepath.Dir(file), path)
	}
	return followLinks(path)
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
