package api

import (
	"time"

	"cacheproxy/leaderboard"
)

// Route is the settings of a route for its boards. A Route does not change while it is in use.
type Route struct {
	Rules              *leaderboard.Rules
	Player, Score      string  // names of the JSON fields of a submission
	MinScore, MaxScore float64 // of one submission; within 2^53 either way
	MaxBatch           int     // bound for the submissions of one request
	// AuthorizeUpstream names the upstream that decides, at AuthorizePath, whether a client may submit or read. Empty:
	// no upstream is asked.
	AuthorizeUpstream, AuthorizePath string
	Shape                            Shape
	Archive                          *Archive // nil: no archive
}

// Archive says which data go to PostgreSQL.
type Archive struct {
	Submissions bool          // also every submission by itself
	Retention   time.Duration // of the archive's data; zero: for ever
}

const (
	// MaxBody bounds the bytes of a submission.
	MaxBody = 1 << 20
	// Fresh is how long an answer that was read from a board serves further readers that ask the same.
	Fresh = 250 * time.Millisecond

	maxName = 256 // bound for the bytes of a player's name
)

// Most bounds the places that a read may ask for.
func (r *Route) Most() int {
	if r.Rules.Top > 0 {
		return r.Rules.Top
	}
	return 1000
}

// usual is the number of places in an answer to a read without a number.
func (r *Route) usual() int { return min(100, r.Most()) }
