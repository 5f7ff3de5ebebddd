package client

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"google.golang.org/grpc/codes"
)

const (
	coordinatorFile = "coordinator.json"
	coordinatorLock = "coordinator.lock"
	tokenFileName   = "token"
)

// Target is where a coordinator is ("unix:PATH" or "HOST:PORT"), and the token to present there.
type Target struct {
	// Address is unix:PATH or HOST:PORT.
	Address string
	// Token goes with every call.
	Token string
	// LockFile is held by the coordinator for as long as it lives; known for the workspace's own one only.
	LockFile string
}

// given is what a caller said about the coordinator; what is empty comes from the environment.
type given struct {
	address   string
	token     string
	tokenFile string
	directory string
}

// locate finds the coordinator to talk to, without asking whether it is alive: the address given or
// BR_COORDINATOR, else the workspace's own.
func (g given) locate() (Target, error) {
	address, err := g.explicitAddress()
	if err != nil {
		return Target{}, err
	}
	token, err := g.givenToken()
	if err != nil {
		return Target{}, err
	}
	workspace, err := FindWorkspace(g.directory)
	if err != nil {
		return Target{}, invalid("the directory %q cannot be looked at: %v", g.directory, err)
	}
	if address != "" {
		if token == "" {
			token = tokenBeside(address, workspace)
		}
		return Target{Address: address, Token: token}, nil
	}
	if !workspace.HasState() {
		return Target{}, unavailable("NO_STATE",
			"nothing has been started in "+workspace.Root+" yet; `br parallel start` does")
	}
	target, ok := localTarget(workspace.StateDir)
	if !ok {
		return Target{}, unavailable("", "no coordinator runs for "+workspace.Root+
			"; any `br parallel` command, such as `br parallel status`, starts it")
	}
	if token != "" {
		target.Token = token
	}
	return target, nil
}

// explicitAddress is normalised; empty when neither the caller nor the environment names one.
func (g given) explicitAddress() (string, error) {
	text := strings.TrimSpace(g.address)
	if text == "" {
		text = strings.TrimSpace(os.Getenv("BR_COORDINATOR"))
	}
	if path, ok := strings.CutPrefix(text, "unix:"); ok || strings.HasPrefix(text, "/") {
		if strings.HasPrefix(path, "//") {
			path = "/" + strings.TrimLeft(path, "/")
		}
		whole, err := filepath.Abs(path)
		return "unix:" + whole, err
	}
	if text == "" {
		return "", nil
	}
	colon := strings.LastIndexByte(text, ':')
	if port, err := strconv.ParseUint(text[colon+1:], 10, 16); colon > 0 && err == nil && port > 0 {
		return text, nil
	}
	return "", invalid("%q is no coordinator address; give unix:PATH or HOST:PORT", text)
}

func (g given) givenToken() (string, error) {
	if g.token != "" {
		return g.token, nil
	}
	file := g.tokenFile
	if file == "" {
		if token := os.Getenv("BR_TOKEN"); token != "" {
			return token, nil
		}
		file = os.Getenv("BR_TOKEN_FILE")
	}
	if file == "" {
		return "", nil
	}
	token := readToken(file)
	if token == "" {
		return "", &UnauthenticatedError{CallError{
			Code: codes.Unauthenticated, Reason: "UNAUTHENTICATED",
			Message: "no token can be read from " + file + "; check the path and its permissions",
		}}
	}
	return token, nil
}

// tokenBeside is that of a local coordinator when `address` is its own; a stranger never gets one.
func tokenBeside(address string, workspace Workspace) string {
	folders := []string{workspace.StateDir}
	if path, ok := strings.CutPrefix(address, "unix:"); ok {
		folders = append(folders, filepath.Dir(path))
	}
	for _, folder := range folders {
		if found, ok := localTarget(folder); ok && found.Address == address {
			return found.Token
		}
	}
	return ""
}

// localTarget is where the state directory's coordinator last said that it is.
func localTarget(stateDir string) (Target, bool) {
	text, err := os.ReadFile(filepath.Join(stateDir, coordinatorFile))
	if err != nil {
		return Target{}, false
	}
	var said struct {
		Address string `json:"address"`
	}
	if json.Unmarshal(text, &said) != nil || said.Address == "" {
		return Target{}, false
	}
	return Target{
		Address:  said.Address,
		Token:    readToken(filepath.Join(stateDir, tokenFileName)),
		LockFile: filepath.Join(stateDir, coordinatorLock),
	}, true
}

func readToken(file string) string {
	text, err := os.ReadFile(file)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(text))
}

func unavailable(reason, message string) error {
	return &UnavailableError{CallError: CallError{
		Code: codes.Unavailable, Reason: reason, Message: message,
	}}
}
