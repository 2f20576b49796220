package leaderboard

import (
	"context"
	"errors"
	"time"
)

// The errors of a refusal. Nothing of a refused submission is recorded, except that with ErrNotDurable it may be.
var (
	ErrTooManyBoards = errors.New("too many boards")                                                                        // the route has MaxBoards
	ErrKeyReused     = errors.New("idempotency key was used for another submission")                                        // 422
	ErrTooLarge      = errors.New("sum is beyond 2^53, up to which it is exact")                                            // 422
	ErrNotThere      = errors.New("player is not on the board")                                                             // 404
	ErrBeyond        = errors.New("player is beyond the ranks that are kept")                                               // no rank
	ErrLoading       = errors.New("records are empty, and are being read back from the archive")                            // 503 until loaded
	ErrWentBack      = errors.New("records are older than the archive")                                                     // to the archiver only
	ErrOtherRules    = errors.New("board was made under other rules: give the route another name, or take its boards away") // 503
	ErrFull          = errors.New("server of records has no memory left: raise its maxmemory, or take boards away")         // 503
	ErrNotDurable    = errors.New("records did not reach the durability of their route")                                    // 503: recorded or not
)

// Submission is one score of one player.
type Submission struct {
	Player string
	Score  float64
}

// Request is one call that submits. Either all of its submissions are recorded, or none.
type Request struct {
	Board       string
	Key         string // the idempotency key, with the client that it belongs to; empty: none
	Print       string // digest of the submissions under Key, by which another use of the key is noticed
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
	Players int64  // players with a rank
	Full    bool   // the board has all the places that are kept: there may be players beyond them
	Version string // changes whenever an entry of the board changes; for validators
}

// Receipt is the outcome of a submission.
type Receipt struct {
	Player string
	Score  float64 // the player's score after the submission
	Rank   int64   // 0: beyond the ranks that are kept
	// Loading: the submission is recorded, and the player's score is unknown until the board has been read back from
	// the archive. Score and Rank are zero.
	Loading bool
}

// Records store boards. They are safe for concurrent use by many instances. An error of another package means that the
// records did not answer: nobody knows then whether a submission was recorded.
type Records interface {
	Submit(context.Context, *Rules, Request) (receipts []Receipt, repeated bool, err error)
	Top(ctx context.Context, r *Rules, board string, n int) (View, error)
	Around(ctx context.Context, r *Rules, board, player string, n int) (View, error) // n places before and after the player's
	Player(ctx context.Context, r *Rules, board, player string) (Entry, error)       // the best place of the player
	Boards(ctx context.Context, r *Rules) ([]string, error)
}

// Bucket is one bucket of a board in the records.
type Bucket struct {
	Route, Board string
	Start, End   time.Time
	Closed       bool
}

// Member is what a bucket holds for one player, or for one submission if each stands for itself.
type Member struct {
	Player string
	Score  float64
	At     time.Time
	ID     string // the id of the submission, if each stands for itself; otherwise empty
}

// Line is one submission in the form for the archive.
type Line struct {
	ID         string // in the order of the records; total over a board
	Board      string
	Submission Submission
	At         time.Time
}

// Source is the archive's view of the records. While the records of a route are empty, Owed, Members and Lines return
// ErrLoading, by the state that they read: so the archiver never takes a part for the whole.
type Source interface {
	Boards(ctx context.Context, r *Rules) ([]string, error)
	// Owed returns buckets that the archive lacks in their present state, the oldest first: open buckets with
	// submissions since they were archived, and closed buckets that were not archived as closed. With an error other
	// than ErrLoading, the result has the buckets of the boards that answered.
	Owed(ctx context.Context, r *Rules, most int) ([]Bucket, error)
	// Members reads a page of a bucket, in an order that is stable while the bucket is closed. Empty: no more members.
	Members(ctx context.Context, r *Rules, b Bucket, from, most int) ([]Member, error)
	// Archived tells the records that the archive has committed count members of a bucket. If the records hold another
	// number, they cut nothing. done says that the bucket is not owed any more.
	Archived(ctx context.Context, r *Rules, b Bucket, count int) (done bool, err error)
	// Lines returns submissions after an id, or from the first one if after is empty. Taken forgets the submissions up
	// to an id, after the archive has committed them. Taken forgets nothing if the board's mark is below mark, or not
	// below limit: the records then went back since the submissions were read.
	Lines(ctx context.Context, r *Rules, board, after string, most int) ([]Line, error)
	Taken(ctx context.Context, r *Rules, board, upTo string, mark, limit int64) error
	// Mark increments the board's mark and returns the new value. The mark is stored with the records of the board, and
	// decreases only if the records go back. If the mark is below given, which was returned before, the records went
	// back: Mark returns ErrWentBack and changes nothing. So every archiver notices, until Mended has raised the mark
	// to that of the archive.
	Mark(ctx context.Context, r *Rules, board string, given int64) (int64, error)
	Mended(ctx context.Context, r *Rules, board string, mark int64) error
	// Empty reports whether the server has lost, or never had, the records. From then until Loaded, reads are refused
	// with ErrLoading.
	Empty(ctx context.Context, r *Rules) (bool, error)
	// Load merges a part of a bucket into the records. Repetitions have no further effect: of best and lowest the
	// better score stays, of last and sum the later, and of every the submissions by their ids. A closed bucket is not
	// owed for loaded members.
	Load(ctx context.Context, r *Rules, b Bucket, m []Member) error
	// Loaded says that everything in the archive was loaded, of one board, or of all boards if board is empty. The
	// boards are shown from then on.
	Loaded(ctx context.Context, r *Rules, board string) error
}
