package leaderboard

import "time"

// Aggregate says what the submissions of one player come to.
type Aggregate int

const (
	Best   Aggregate = iota // the highest within the window
	Lowest                  // the lowest, which stands first
	Sum                     // the sum of all within the window; scores are integers
	Last                    // the latest within the window
	Every                   // every submission stands for itself: one player may hold several places
)

// Ties says who of equal score stands first.
type Ties int

const (
	Earlier Ties = iota // who reached the score first
	ByName              // who comes first in the order of bytes
)

// Span is the kind of a window.
type Span int

const (
	Rolling Span = iota // the last Window.Length
	AllTime
	Day  // a calendar day of Window.Location
	Week // from Monday on
)

// Window is the part of time that a board is about.
type Window struct {
	Span     Span
	Length   time.Duration  // of a rolling window; a multiple of Bucket
	Bucket   time.Duration  // by which a rolling window slides, and in which all submissions are gathered
	Location *time.Location // of calendar windows; nil: UTC
}

// Durability says when a submission is acknowledged.
type Durability int

const (
	InMemory Durability = iota // when the server has it
	Synced                     // when it is in the server's append-only file on disk
	Replicas                   // when a replica has it too
)

// Rules are what a route says of its boards. They are not changed while they are in use.
type Rules struct {
	Route      string // its name, part of each board's name in the records
	Aggregate  Aggregate
	Ties       Ties
	Window     Window
	Top        int           // the number of ranks that are kept; 0: all
	MaxBoards  int           // of the route; one more is refused
	Durability Durability    // of an acknowledgement
	Repeats    time.Duration // for which an idempotency key is remembered
	Archived   bool          // buckets wait for the archive before they leave the records
	Submitted  bool          // every submission goes to the archive too, by itself
}
