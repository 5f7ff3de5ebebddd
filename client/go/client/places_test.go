package client

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	"buildrunner.dev/parallel/internal/asker"
	"buildrunner.dev/parallel/internal/fake"
	pb "buildrunner.dev/parallel/v1"
)

func clearEnvironment(t *testing.T) {
	t.Helper()
	for _, name := range []string{
		"BR_COORDINATOR", "BR_TOKEN", "BR_TOKEN_FILE", "BR_STATE_DIR", "BR_SESSION_ID", "BR_ATTEMPT_ID", "BR_FENCE",
		"BR_LOCK_SESSION_ID", "BR_LOCK_GRANT_ID", "BR_LOCK_FENCE",
	} {
		t.Setenv(name, "")
	}
}

// folder is a real path: that of a temporary folder may have links.
func folder(t *testing.T) string {
	t.Helper()
	real, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return real
}

func TestTheCoordinatorIsFoundAsTheCommandLineFindsIt(t *testing.T) {
	clearEnvironment(t)
	repository := folder(t)
	worktree := filepath.Join(folder(t), "tree")
	write(t, filepath.Join(repository, ".git/worktrees/tree/commondir"), "../..\n")
	write(t, filepath.Join(repository, ".buildrunner/coordinator.json"), `{"address": "unix:/a/socket", "new": 1}`)
	write(t, filepath.Join(repository, ".buildrunner/token"), "its-token\n")
	write(t, filepath.Join(worktree, ".git"), "gitdir: "+repository+"/.git/worktrees/tree\n")
	write(t, filepath.Join(worktree, "sub/file"), "")
	other := folder(t)
	write(t, filepath.Join(other, "coordinator.json"), `{"address": "127.0.0.1:7070"}`)
	write(t, filepath.Join(other, "token"), "other-token")
	local := Target{"unix:/a/socket", "its-token", filepath.Join(repository, ".buildrunner/coordinator.lock")}
	for _, one := range []struct {
		name string
		env  map[string]string
		say  given
		want Target
	}{
		{"from the root", nil, given{directory: repository}, local},
		{"from a worktree", nil, given{directory: filepath.Join(worktree, "sub")}, local},
		{"with a token", map[string]string{"BR_TOKEN": "t"}, given{directory: repository}, Target{local.Address, "t", local.LockFile}},
		{"by BR_STATE_DIR", map[string]string{"BR_STATE_DIR": other}, given{directory: repository},
			Target{"127.0.0.1:7070", "other-token", filepath.Join(other, "coordinator.lock")}},
		{"by BR_COORDINATOR", map[string]string{"BR_COORDINATOR": "unix:///x", "BR_TOKEN_FILE": filepath.Join(other, "token")},
			given{directory: repository}, Target{"unix:/x", "other-token", ""}},
		{"its own address", map[string]string{"BR_COORDINATOR": "/a/socket"}, given{directory: repository},
			Target{"unix:/a/socket", "its-token", ""}},
		{"a stranger's", map[string]string{"BR_COORDINATOR": "localhost:1"}, given{directory: repository}, Target{"localhost:1", "", ""}},
		{"given", map[string]string{"BR_COORDINATOR": "localhost:1", "BR_TOKEN": "t"},
			given{directory: repository, address: "host:2", token: "u"}, Target{"host:2", "u", ""}},
	} {
		t.Run(one.name, func(t *testing.T) {
			for name, value := range one.env {
				t.Setenv(name, value)
			}
			if found, err := one.say.locate(); err != nil || found != one.want {
				t.Errorf("%+v, %v", found, err)
			}
		})
	}
}

func TestWhatIsWrongWithThePlaceIsSaid(t *testing.T) {
	clearEnvironment(t)
	empty, ended := folder(t), folder(t)
	write(t, filepath.Join(ended, ".buildrunner/state.db"), "")
	for _, one := range []struct {
		say  given
		want string
	}{
		{given{directory: empty}, "`br parallel start` does"},
		{given{directory: ended}, "`br parallel status`"},
		{given{address: "nonsense", directory: empty}, "give unix:PATH or HOST:PORT"},
		{given{address: "host:0", directory: empty}, "give unix:PATH or HOST:PORT"},
		{given{address: "host:1", tokenFile: filepath.Join(empty, "absent"), directory: empty}, "no token can be read"},
	} {
		_, err := one.say.locate()
		var call *CallError
		if !errors.As(err, &call) || !strings.Contains(err.Error(), one.want) {
			t.Errorf("%+v: %v", one.say, err)
		}
	}
}

func TestPathsToLockAreFromTheRepositorysRoot(t *testing.T) {
	root := folder(t)
	write(t, filepath.Join(root, "src/app.py"), "")
	write(t, filepath.Join(root, "src/[id]/page"), "")
	if err := os.Symlink("src", filepath.Join(root, "link")); err != nil {
		t.Fatal(err)
	}
	workspace := Workspace{Root: root, Worktree: root, Directory: "src"}
	for _, one := range []struct {
		name, want string
		kind       pb.LockKind
	}{
		{"app.py", "src/app.py", pb.LockKind_LOCK_KIND_FILE},
		{"new.py", "src/new.py", pb.LockKind_LOCK_KIND_FILE},
		{"new/", "src/new", pb.LockKind_LOCK_KIND_TREE},
		{"..", ".", pb.LockKind_LOCK_KIND_TREE},
		{root + "/link/app.py", "src/app.py", pb.LockKind_LOCK_KIND_FILE},
		{"[id]", "src/[id]", pb.LockKind_LOCK_KIND_TREE},
		{"*.py", "src/*.py", pb.LockKind_LOCK_KIND_GLOB},
		{"[id]/*.tsx", "src/[id]/*.tsx", pb.LockKind_LOCK_KIND_GLOB}, // what the caller wrote is a pattern
		{"../link/**/x", "src/**/x", pb.LockKind_LOCK_KIND_GLOB},
		{"res:db", "res:db", pb.LockKind_LOCK_KIND_RESOURCE},
	} {
		request, err := Path{Name: one.name}.request(workspace)
		if err != nil || request.Path != one.want || request.Kind != one.kind {
			t.Errorf("%s: %v, %v", one.name, request, err)
		}
	}
	for _, name := range []string{"", "../../outside", "/", "a\x00b", "\xff", strings.Repeat("x", maxPathBytes+1)} {
		var wrong *InvalidError
		if _, err := (Path{Name: name}).request(workspace); !errors.As(err, &wrong) {
			t.Errorf("%.20q: %v", name, err)
		}
	}
	request, err := Path{Name: "as/it/is/", Kind: pb.LockKind_LOCK_KIND_AUTO}.request(workspace)
	if err != nil || request.Path != "as/it/is/" {
		t.Errorf("%v, %v", request, err)
	}
}

// lender grants what it is asked for, and counts what is done with it.
type lender struct {
	asked    atomic.Pointer[pb.AcquireLocksRequest]
	renewals atomic.Int64
	released atomic.Pointer[pb.ReleaseLocksRequest]
	lost     atomic.Bool
}

func (l *lender) answer(_ context.Context, _ string, request any) (any, error) {
	switch r := request.(type) {
	case *pb.AcquireLocksRequest:
		l.asked.Store(r)
		holder := &pb.LockHolder{SessionId: "5e551011"}
		return &pb.AcquireLocksResponse{
			GrantId: "61a41234", Fence: 8, LeaseMs: r.GetLeaseMs(),
			Locks: []*pb.PathLock{{Path: r.Paths[0].Path, Holder: holder}},
		}, nil
	case *pb.RenewLeaseRequest:
		l.renewals.Add(1)
		if l.lost.Load() {
			return nil, fake.Refusal(codes.Aborted, "STALE", "Taken away.")
		}
		return &pb.RenewLeaseResponse{LeaseMs: 60}, nil
	case *pb.ReleaseLocksRequest:
		l.released.Store(r)
		return &pb.ReleaseLocksResponse{}, nil
	}
	return nil, nil
}

func TestAGrantIsRenewedUntilItIsReleased(t *testing.T) {
	clearEnvironment(t)
	c, l := fake.New(t), &lender{}
	c.OnUnary = l.answer
	c.Start(t)
	client := connect(t, c)
	grant, err := client.Lock(bounded(t), "5e55", Exclusive("res:a"), LockOptions{Lease: 60 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	for l.renewals.Load() < 3 {
		if grant.Context().Err() != nil {
			t.Fatal(grant.Err())
		}
		time.Sleep(time.Millisecond)
	}
	if _, err := client.Lock(grant.Context(), "5e551011", Exclusive("res:b"), LockOptions{}); err != nil {
		t.Fatal(err)
	}
	if asked := l.asked.Load(); asked.HeldGrantId != "61a41234" || asked.HeldFence != 8 || asked.GetLeaseMs() != 30_000 {
		t.Errorf("within it: %v", asked)
	}
	if err := grant.Release(); err != nil || grant.Held() || grant.Context().Err() == nil {
		t.Errorf("released: %v", err)
	}
	if released := l.released.Load(); released.GrantId != "61a41234" || released.Fence != 8 || released.SessionId != "5e551011" {
		t.Errorf("%v", released)
	}
}

func TestAGrantThatIsLostIsTold(t *testing.T) {
	clearEnvironment(t)
	c, l := fake.New(t), &lender{}
	c.OnUnary = l.answer
	c.Start(t)
	grant, err := connect(t, c).Lock(bounded(t), "5e55", Exclusive("res:a"), LockOptions{Lease: 60 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	l.lost.Store(true)
	select {
	case <-grant.Lost():
	case <-time.After(fake.GiveUp):
		t.Fatal("nobody tells")
	}
	var lost *LockLostError
	var stale *StaleError
	if cause := context.Cause(grant.Context()); !errors.As(cause, &lost) || !errors.As(cause, &stale) || lost.GrantID != "61a41234" {
		t.Errorf("%v", cause)
	}
	if err := grant.Release(); !errors.As(err, &lost) {
		t.Errorf("%v", err)
	}
}

func TestInATaskTheTaskAsks(t *testing.T) {
	clearEnvironment(t)
	t.Setenv("BR_SESSION_ID", "5e551011")
	t.Setenv("BR_ATTEMPT_ID", "a77e")
	t.Setenv("BR_FENCE", "12")
	mine := asker.Asker{SessionID: "5e551011", AttemptID: "a77e", Fence: 12}
	for session, want := range map[string]asker.Asker{"5e55": mine, "": mine, "5e551011": mine, "5e5": {}, "0ther": {}} {
		if got := asker.For(context.Background(), session); got != want {
			t.Errorf("%q: %+v", session, got)
		}
	}
	handler := asker.Asker{SessionID: "5e551011", AttemptID: "bbbb", Fence: 13}
	if got := asker.For(asker.In(context.Background(), handler), "5e551011"); got != handler {
		t.Errorf("a handler: %+v", got)
	}
}
