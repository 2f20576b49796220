package feed

import (
	"sync/atomic"
	"time"
)

// sight is how far a feed sees. The goroutines of the feed write the fields, and requests read them concurrently.
type sight struct {
	began time.Time
	// clear is the time, in nanoseconds since began, up to which all visible changes are purged.
	clear   atomic.Int64
	up      atomic.Bool
	waiting atomic.Int64 // rows that were seen and are not deleted
	owed    atomic.Int64 // mappings whose table's tag is owed
	missing atomic.Int64 // mappings whose changes may go untold
	// retained is how much of the write-ahead log a slot keeps, in bytes.
	retained atomic.Int64
	shared   atomic.Bool // another consumer is there that must not be
	rows     atomic.Uint64
	failed   [kinds]atomic.Uint64
}

// State is a snapshot of the condition of a feed.
type State struct {
	Up      bool          // a look has succeeded over the present connection
	Lag     time.Duration // how long changes may have been visible without being purged
	Waiting int64         // rows that were seen and are not consumed
	Owed    int64         // mappings for whose changes triggers wrote no rows, since nobody consumed them
	Missing int64         // mappings whose changes may go untold
	Shared  bool          // another consumer is there that must not be
	Rows    uint64        // consumed by this instance
	// Retained is how much of the write-ahead log a slot keeps on the server, in bytes.
	Retained int64
	Failed   map[string]uint64
}

// State returns the condition of the feed, and is safe for concurrent use.
func (f *Feed) State() State {
	s := State{
		Up: f.sight.up.Load(), Lag: f.sight.lag(time.Now()), Waiting: f.sight.waiting.Load(), Owed: f.sight.owed.Load(),
		Missing: f.sight.missing.Load(), Shared: f.sight.shared.Load(), Retained: f.sight.retained.Load(),
		Rows: f.sight.rows.Load(), Failed: make(map[string]uint64, kinds),
	}
	for k := range kinds {
		s.Failed[k.String()] = f.sight.failed[k].Load()
	}
	return s
}

// Blind reports whether changes may have been visible and unpurged for longer than longer, whether nothing tells of
// some changes, or whether another consumer takes them. A call costs three atomic loads.
func (f *Feed) Blind(now time.Time, longer time.Duration) bool {
	return f.sight.lag(now) > longer || f.sight.missing.Load() > 0 || f.sight.shared.Load()
}

func (s *sight) lag(now time.Time) time.Duration {
	return max(now.Sub(s.began)-time.Duration(s.clear.Load()), 0)
}

// cleared records that all changes that were visible at a time are purged.
func (s *sight) cleared(at time.Time) { s.clear.Store(max(int64(at.Sub(s.began)), s.clear.Load())) }

// Kind is a kind of failure. The vocabulary is closed.
type Kind uint8

const (
	connectionFailed Kind = iota // the database cannot be reached, or refuses the login
	lookFailed                   // a statement failed
	unconfirmed                  // a purge did not hold at the first attempt
	malformed                    // a row does not fit its mapping
	unknownMapping               // a row has the id of a mapping that is not configured
	hintFailed                   // the connection for NOTIFY failed
	notInstalled                 // a mapping is not installed as it has to be
	changesLost                  // changes of which nothing tells
	unknownGap                   // a slot does not continue where it was left
	taken                        // another consumer is there that must not be
	kinds
)

// Kinds returns all kinds.
func Kinds() (all []Kind) {
	for k := range kinds {
		all = append(all, k)
	}
	return all
}

// String returns the word in metrics.
func (k Kind) String() string {
	return [...]string{"connection", "look", "unconfirmed", "malformed", "unknown-mapping", "hint", "not-installed", "lost", "gap", "shared"}[k]
}
