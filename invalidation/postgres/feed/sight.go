package feed

import (
	"sync/atomic"
	"time"
)

// sight is how far a feed sees. It is safe for concurrent use: requests ask it.
type sight struct {
	began time.Time
	// clear is the moment, in nanoseconds since began, up to which all changes that could be seen are purged.
	clear   atomic.Int64
	up      atomic.Bool
	waiting atomic.Int64 // rows that were seen and are not deleted
	owed    atomic.Int64 // mappings whose table's tag is owed
	missing atomic.Int64 // mappings that are not installed
	// retained is how much of the write-ahead log a slot keeps, in bytes.
	retained atomic.Int64
	shared   atomic.Bool // somebody else consumes as well, who must not
	rows     atomic.Uint64
	failed   [kinds]atomic.Uint64
}

// State is what a feed knows of itself.
type State struct {
	Up      bool          // the last look has come back
	Lag     time.Duration // for how long changes may have been in sight that are not purged
	Waiting int64         // rows that were seen and not consumed yet
	Owed    int64         // mappings for whose changes triggers have written no rows, since nobody consumed them
	Missing int64         // mappings that are not installed
	Shared  bool          // somebody else consumes as well, who must not
	Rows    uint64        // consumed by this instance
	// Retained is how much of the write-ahead log a slot keeps on the server, in bytes.
	Retained int64
	Failed   map[string]uint64
}

// State is safe for concurrent use.
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

// Blind reports whether changes may have been in sight for longer than that and are not purged, or nothing tells of some, or somebody else
// takes them. It costs three atomic loads.
func (f *Feed) Blind(now time.Time, longer time.Duration) bool {
	return f.sight.lag(now) > longer || f.sight.missing.Load() > 0 || f.sight.shared.Load()
}

func (s *sight) lag(now time.Time) time.Duration {
	return max(now.Sub(s.began)-time.Duration(s.clear.Load()), 0)
}

// cleared notes that all changes that were in sight at a time are purged.
func (s *sight) cleared(at time.Time) { s.clear.Store(max(int64(at.Sub(s.began)), s.clear.Load())) }

// Kind is what may fail. The vocabulary is closed.
type Kind uint8

const (
	connectionFailed Kind = iota // the database cannot be reached, or does not let us in
	lookFailed                   // a statement failed
	unconfirmed                  // a purge did not hold at the first attempt
	malformed                    // a row does not fit its mapping
	unknownMapping               // a row bears the id of a mapping that is not configured
	hintFailed                   // the connection that hears NOTIFY
	notInstalled                 // a mapping has no triggers
	changesLost                  // changes that nothing tells of
	unknownGap                   // a slot does not go on where it was left
	taken                        // somebody else consumes as well, who must not
	kinds
)

// Kinds are all of them.
func Kinds() (all []Kind) {
	for k := range kinds {
		all = append(all, k)
	}
	return all
}

// String is the word in metrics.
func (k Kind) String() string {
	return [...]string{"connection", "look", "unconfirmed", "malformed", "unknown-mapping", "hint", "not-installed", "lost", "gap", "shared"}[k]
}
