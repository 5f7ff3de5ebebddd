// Package asker says on whose account a program asks for paths: the task that it is, or the lock that it is
// within. Both client and worker put it into contexts; nothing else lives here.
package asker

import (
	"context"
	"os"
	"strconv"
	"strings"
)

// Asker is an attempt or a grant of one session, each with its fence; the zero value is the session itself.
type Asker struct {
	SessionID string
	AttemptID string
	GrantID   string
	Fence     int64
}

type contextKey struct{}

// In returns a context whose holder asks as a.
func In(ctx context.Context, a Asker) context.Context {
	return context.WithValue(ctx, contextKey{}, a)
}

const shortestPrefix = 4

// For says who asks for paths of the session, which may be a prefix of its id; empty stands for any. What the
// context says counts first, then what the environment says of this process.
func For(ctx context.Context, sessionID string) Asker {
	if a, ok := ctx.Value(contextKey{}).(Asker); ok && standsFor(sessionID, a.SessionID) {
		return a
	}
	if a := fromEnvironment("BR_SESSION_ID", "BR_FENCE"); standsFor(sessionID, a.SessionID) {
		if a.AttemptID = os.Getenv("BR_ATTEMPT_ID"); a.AttemptID != "" && a.Fence != 0 {
			return a
		}
	}
	if a := fromEnvironment("BR_LOCK_SESSION_ID", "BR_LOCK_FENCE"); standsFor(sessionID, a.SessionID) {
		if a.GrantID = os.Getenv("BR_LOCK_GRANT_ID"); a.GrantID != "" && a.Fence != 0 {
			return a
		}
	}
	return Asker{}
}

func fromEnvironment(session, fence string) Asker {
	number, err := strconv.ParseInt(os.Getenv(fence), 10, 64)
	if err != nil || number < 0 {
		number = 0
	}
	return Asker{SessionID: os.Getenv(session), Fence: number}
}

func standsFor(asked, sessionID string) bool {
	return asked == "" || asked == sessionID ||
		(len(asked) >= shortestPrefix && strings.HasPrefix(sessionID, asked))
}
