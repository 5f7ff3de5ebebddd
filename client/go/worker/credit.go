//go:build linux

package worker

import "time"

const (
	aheadFor      = 25 * time.Millisecond
	mostAhead     = 400
	noAheadAbove  = time.Second
	gaugeInertia  = 8
	creditTooFew  = 2.0 / 3
	creditTooMany = 1.5
)

// creditGauge says how many attempts to hold: few when tasks are long, many when they are short. Tasks held
// ahead spare the round trip between one and the next, but what waits here cannot run elsewhere.
type creditGauge struct {
	slots int
	mean  time.Duration
	told  int
}

func (g *creditGauge) initial() int { return g.slots + 1 }

// reset: a new stream began with the initial credit.
func (g *creditGauge) reset() { g.told = g.initial() }

func (g *creditGauge) ran(wall time.Duration) {
	inertia := time.Duration(gaugeInertia)
	if g.mean == 0 {
		inertia = 1
	}
	g.mean += (max(wall, time.Microsecond) - g.mean) / inertia
}

// change is the new credit if it should be told, else 0.
func (g *creditGauge) change() int {
	if g.mean == 0 {
		return 0
	}
	wanted := g.slots
	if g.mean <= noAheadAbove {
		wanted += max(1, min(mostAhead, int(time.Duration(g.slots)*aheadFor/g.mean)))
	}
	ratio := float64(wanted) / float64(g.told)
	isAlike := wanted > g.slots && g.told > g.slots && ratio > creditTooFew && ratio < creditTooMany
	if wanted == g.told || isAlike {
		return 0
	}
	g.told = wanted
	return wanted
}
