package api

import (
	"time"

	"cacheproxy/leaderboard"
)

// Route is what a route says of its boards. It is not changed while it is in use.
type Route struct {
	Rules              *leaderboard.Rules
	Player, Score      string  // names of the JSON fields of a submission
	MinScore, MaxScore float64 // of one submission; within 2^53 either way
	MaxBatch           int     // submissions of one request
	// AuthorizeUpstream is the name of the upstream that is asked first whether a client may submit or read, at AuthorizePath. Empty: nobody is.
	AuthorizeUpstream, AuthorizePath string
	Shape                            Shape
	Archive                          *Archive // nil: there is none
}

// Archive says what goes to PostgreSQL.
type Archive struct {
	Submissions bool          // each by itself, too
	Retention   time.Duration // of what is there; zero: for ever
}

const (
	// MaxBody is the largest submission that is read, in bytes.
	MaxBody = 1 << 20
	// Fresh is for how long what was read of a board answers those who ask for the same.
	Fresh = 250 * time.Millisecond

	maxName = 256 // bytes of a player's name
)

// Most is how many places a read may ask for.
func (r *Route) Most() int {
	if r.Rules.Top > 0 {
		return r.Rules.Top
	}
	return 1000
}

// usual is how many places a read gets that does not say.
func (r *Route) usual() int { return min(100, r.Most()) }
