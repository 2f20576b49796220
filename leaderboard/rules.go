package leaderboard

import "time"

// Aggregate says how the submissions of one player become a score.
type Aggregate int

const (
	Best   Aggregate = iota // the highest within the window
	Lowest                  // the lowest, which ranks first
	Sum                     // the sum of all within the window; scores are integers
	Last                    // the latest within the window
	Every                   // every submission by itself: one player may hold several places
)

// Ties says which of two players with equal scores ranks first.
type Ties int

const (
	Earlier Ties = iota // the player that reached the score first
	ByName              // the player whose name is first in the order of bytes
)

// Span is the kind of a window.
type Span int

const (
	Rolling Span = iota // the last Window.Length
	AllTime
	Day  // a calendar day of Window.Location
	Week // from Monday on
)

// Window is the span of time that a board shows.
type Window struct {
	Span     Span
	Length   time.Duration  // of a rolling window; a multiple of Bucket
	Bucket   time.Duration  // the step by which a rolling window slides, and the span of a bucket
	Location *time.Location // of calendar windows; nil: UTC
}

// Durability says when a submission is acknowledged.
type Durability int

const (
	InMemory Durability = iota // when the server has the submission
	Synced                     // when the append-only file on the server's disk has the submission
	Replicas                   // when a replica has the submission too
)

// Rules are the settings of a route for its boards. Rules do not change while they are in use.
type Rules struct {
	Route      string // the route's name, part of each board's name in the records
	Aggregate  Aggregate
	Ties       Ties
	Window     Window
	Top        int           // the number of places that are kept; 0: all
	MaxBoards  int           // bound for the boards of the route; a further board is refused
	Durability Durability    // condition for an acknowledgement
	Repeats    time.Duration // how long an idempotency key is remembered
	Archived   bool          // buckets stay in the records until the archive has them
	Submitted  bool          // every submission goes to the archive too
}
