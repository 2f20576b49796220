package leaderboard

import (
	"context"
	"errors"
	"time"
)

// What a board refuses. Of a submission that is refused nothing is recorded.
var (
	ErrTooManyBoards = errors.New("too many boards")                                                                        // the route has as many as it may
	ErrKeyReused     = errors.New("idempotency key was used for another submission")                                        // 422
	ErrTooLarge      = errors.New("sum is beyond 2^53, up to which it is exact")                                            // 422
	ErrNotThere      = errors.New("player is not on the board")                                                             // 404
	ErrBeyond        = errors.New("player is beyond the ranks that are kept")                                               // no rank
	ErrLoading       = errors.New("records are empty, and are being read back from the archive")                            // 503 until they are there
	ErrWentBack      = errors.New("records are older than the archive")                                                     // of the archiver alone
	ErrOtherRules    = errors.New("board was made under other rules: give the route another name, or take its boards away") // 503
	ErrFull          = errors.New("server of records has no memory left: raise its maxmemory, or take boards away")         // 503
	ErrNotDurable    = errors.New("records did not reach the durability of their route")                                    // 503: they may be there or not
)

// Submission is one score of one player.
type Submission struct {
	Player string
	Score  float64
}

// Request is what one call submits: all of it is recorded, or nothing.
type Request struct {
	Board       string
	Key         string // of idempotency, with whose it is; empty: none
	Print       string // of what was submitted under Key, by which another use of the key is known
	Submissions []Submission
}

// Entry is one place of a board.
type Entry struct {
	Rank   int64 // from 1
	Player string
	Score  float64
	At     time.Time // when the score was reached, by the clock of the records
}

// View is a part of a board at one moment.
type View struct {
	Entries []Entry
	Players int64  // that have a rank
	Full    bool   // as many as are kept: there may be others beyond them
	Version string // changes whenever an entry of the board does; for validators
}

// Receipt says what became of a submission.
type Receipt struct {
	Player string
	Score  float64 // that counts for the player after it
	Rank   int64   // 0: beyond the ranks that are kept
	// Loading: it is recorded, and what it comes to is not known before the board has been read back from the archive. Score and Rank are zero.
	Loading bool
}

// Records keep boards. They are safe for concurrent use by many instances. Errors that are none of this package's mean that the records
// were not reached: whether a submission was recorded is unknown then.
type Records interface {
	Submit(context.Context, *Rules, Request) (receipts []Receipt, repeated bool, err error)
	Top(ctx context.Context, r *Rules, board string, n int) (View, error)
	Around(ctx context.Context, r *Rules, board, player string, n int) (View, error) // n places before and after the player's
	Player(ctx context.Context, r *Rules, board, player string) (Entry, error)       // the best place that the player holds
	Boards(ctx context.Context, r *Rules) ([]string, error)
}

// Bucket is one bucket of a board in the records.
type Bucket struct {
	Route, Board string
	Start, End   time.Time
	Closed       bool
}

// Member is what a bucket holds of one player, or one submission of it where each stands for itself.
type Member struct {
	Player string
	Score  float64
	At     time.Time
	ID     string // of the submission, where each stands for itself; else empty
}

// Line is one submission as the archive takes it.
type Line struct {
	ID         string // in the order of the records, total over a board
	Board      string
	Submission Submission
	At         time.Time
}

// Source is the archive's side of the records. While the records of a route are empty, Owed, Members and Lines answer ErrLoading, by what they
// read at that moment: whoever archives never takes a part for the whole.
type Source interface {
	Boards(ctx context.Context, r *Rules) ([]string, error)
	// Owed are buckets that the archive does not have as they are, the oldest first: open ones to which something has come since they were
	// archived, and closed ones until they were archived as such. With an error other than ErrLoading they are those of the boards that could be
	// asked.
	Owed(ctx context.Context, r *Rules, most int) ([]Bucket, error)
	// Members reads a page of a bucket, in an order that holds while it is closed. Empty: there are no more.
	Members(ctx context.Context, r *Rules, b Bucket, from, most int) ([]Member, error)
	// Archived is told after the archive has committed count members of a bucket. Nothing is cut where the records hold another number. Done
	// says that it is owed no more.
	Archived(ctx context.Context, r *Rules, b Bucket, count int) (done bool, err error)
	// Lines are submissions after one, from the first that is there where that is empty. Taken forgets those up to one, after the archive has
	// committed them, unless the board's number is below mark, or not below limit: then the records went back since they were read, and nothing
	// is forgotten.
	Lines(ctx context.Context, r *Rules, board, after string, most int) ([]Line, error)
	Taken(ctx context.Context, r *Rules, board, upTo string, mark, limit int64) error
	// Mark adds one to a number of the board that is kept with its records and never goes back while they do not, and answers it. Where it is
	// below one that was given before, the records went back: it fails with ErrWentBack and changes nothing, so that everybody finds that out
	// until Mended has set the number on to what the archive has.
	Mark(ctx context.Context, r *Rules, board string, given int64) (int64, error)
	Mended(ctx context.Context, r *Rules, board string, mark int64) error
	// Empty reports whether the server has lost, or never had, the records; reads are refused with ErrLoading from then until Loaded.
	Empty(ctx context.Context, r *Rules) (bool, error)
	// Load merges a part of a bucket into the records, and comes to the same after any repetition: the better of best and lowest stays, the
	// later of last and sum, and of every submission each by its ID. A closed bucket is not owed for what was loaded.
	Load(ctx context.Context, r *Rules, b Bucket, m []Member) error
	// Loaded says that all that the archive has of a board was put back, or (empty) of all boards, which are shown from then on.
	Loaded(ctx context.Context, r *Rules, board string) error
}
