// Package memory keeps the records of boards in this process, where they end with it: for a first look without a server, and for tests of
// what uses records. It keeps every submission of the window, and makes the board of them when it is read.
package memory

import (
	"cmp"
	"context"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"cacheproxy/leaderboard"
	"cacheproxy/lockorder"
)

// Records implements leaderboard.Records. It is safe for concurrent use.
type Records struct {
	now func() time.Time

	mu     lockorder.Mutex[lockorder.MemoryBoards]
	boards map[string]map[string]*board // by route and name
	keys   map[string]*remembered       // of idempotency
	made   uint64                       // how often anything has changed
}

type board struct {
	scores  []score // in the order in which they came
	version uint64
}

type score struct {
	leaderboard.Submission
	at     time.Time
	number uint64 // of the submission
}

type remembered struct {
	print    string
	receipts []leaderboard.Receipt
	until    time.Time
}

// New makes records that go by a clock.
func New(now func() time.Time) *Records {
	return &Records{now: now, boards: map[string]map[string]*board{}, keys: map[string]*remembered{}}
}

// Submit implements leaderboard.Records.
func (m *Records) Submit(_ context.Context, r *leaderboard.Rules, q leaderboard.Request) ([]leaderboard.Receipt, bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	now, key := m.now(), r.Route+"\x00"+q.Board+"\x00"+q.Key
	if q.Key != "" {
		if before := m.keys[key]; before != nil && now.Before(before.until) {
			if before.print != q.Print {
				return nil, false, leaderboard.ErrKeyReused
			}
			return before.receipts, true, nil
		}
	}
	b := m.boards[r.Route][q.Board]
	if b == nil {
		if len(m.boards[r.Route]) >= r.MaxBoards {
			return nil, false, leaderboard.ErrTooManyBoards
		}
		b = &board{}
	}
	scores := b.scores
	for _, s := range q.Submissions {
		m.made++
		scores = append(scores, score{s, now, m.made})
	}
	all := rank(r, scores, now)
	for _, e := range all {
		if r.Aggregate == leaderboard.Sum && math.Abs(e.Score) > 1<<53 {
			return nil, false, leaderboard.ErrTooLarge
		}
	}
	b.scores, b.version = scores, m.made
	if m.boards[r.Route] == nil {
		m.boards[r.Route] = map[string]*board{}
	}
	m.boards[r.Route][q.Board] = b
	receipts := make([]leaderboard.Receipt, len(q.Submissions))
	for i, s := range q.Submissions {
		number := b.scores[len(b.scores)-len(q.Submissions)+i].number
		at := slices.IndexFunc(all, func(p place) bool {
			return p.Player == s.Player && (r.Aggregate != leaderboard.Every || p.number == number)
		})
		receipts[i] = leaderboard.Receipt{Player: s.Player, Score: all[at].Score, Rank: all[at].Rank}
		if r.Top > 0 && receipts[i].Rank > int64(r.Top) {
			receipts[i].Rank = 0
		}
	}
	if q.Key != "" {
		m.keys[key] = &remembered{q.Print, receipts, now.Add(r.Repeats)}
	}
	return receipts, false, nil
}

// Top implements leaderboard.Records.
func (m *Records) Top(_ context.Context, r *leaderboard.Rules, name string, n int) (leaderboard.View, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	all, v := m.view(r, name)
	v.Entries = entries(all[:min(n, len(all))])
	return v, nil
}

// Around implements leaderboard.Records.
func (m *Records) Around(_ context.Context, r *leaderboard.Rules, name, player string, n int) (leaderboard.View, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	all, v := m.view(r, name)
	at, err := m.find(r, name, all, player)
	if err != nil {
		return leaderboard.View{}, err
	}
	v.Entries = entries(all[max(at-n, 0):min(at+n+1, len(all))])
	return v, nil
}

// Player implements leaderboard.Records.
func (m *Records) Player(_ context.Context, r *leaderboard.Rules, name, player string) (leaderboard.Entry, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	all, _ := m.view(r, name)
	at, err := m.find(r, name, all, player)
	if err != nil {
		return leaderboard.Entry{Player: player}, err
	}
	return all[at].Entry, nil
}

// Boards implements leaderboard.Records.
func (m *Records) Boards(_ context.Context, r *leaderboard.Rules) (names []string, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for name := range m.boards[r.Route] {
		names = append(names, name)
	}
	slices.Sort(names)
	return names, nil
}

// place is an entry, and the submission that it is of.
type place struct {
	leaderboard.Entry
	number uint64
}

func entries(all []place) []leaderboard.Entry {
	list := make([]leaderboard.Entry, len(all))
	for i, p := range all {
		list[i] = p.Entry
	}
	return list
}

// view is the places of a board that are kept, and what is told about them. The caller holds mu.
func (m *Records) view(r *leaderboard.Rules, name string) (all []place, v leaderboard.View) {
	b := m.boards[r.Route][name]
	if b == nil {
		return nil, v
	}
	now := m.now()
	b.scores = slices.DeleteFunc(b.scores, func(s score) bool { return !Within(r, s.at, now) })
	all = rank(r, b.scores, now)
	if r.Top > 0 && len(all) >= r.Top {
		all, v.Full = all[:r.Top], true
	}
	v.Players, v.Version = int64(len(all)), strconv.FormatUint(b.version, 36)+"."+strconv.Itoa(len(b.scores))
	return all, v
}

// find is the first place of a player. The caller holds mu.
func (m *Records) find(r *leaderboard.Rules, name string, all []place, player string) (int, error) {
	at := slices.IndexFunc(all, func(p place) bool { return p.Player == player })
	if at >= 0 {
		return at, nil
	}
	if b := m.boards[r.Route][name]; b != nil && slices.ContainsFunc(b.scores, func(s score) bool { return s.Player == player }) {
		return 0, leaderboard.ErrBeyond
	}
	return 0, leaderboard.ErrNotThere
}

// rank makes a board of what is within the window.
func rank(r *leaderboard.Rules, scores []score, now time.Time) (all []place) {
	of := map[string]int{}
	for _, s := range scores {
		if !Within(r, s.at, now) {
			continue
		}
		e := place{leaderboard.Entry{Player: s.Player, Score: s.Score, At: s.at}, s.number}
		i, there := of[s.Player]
		switch {
		case !there || r.Aggregate == leaderboard.Every:
			of[s.Player] = len(all)
			all = append(all, e)
		case r.Aggregate == leaderboard.Best && s.Score > all[i].Score, r.Aggregate == leaderboard.Lowest && s.Score < all[i].Score, r.Aggregate == leaderboard.Last:
			all[i] = e
		case r.Aggregate == leaderboard.Sum:
			e.Score += all[i].Score
			all[i] = e
		}
	}
	slices.SortFunc(all, func(a, b place) int {
		order := cmp.Compare(b.Score, a.Score)
		if r.Aggregate == leaderboard.Lowest {
			order = -order
		}
		tie := a.At.Compare(b.At)
		if r.Ties == leaderboard.ByName {
			tie = strings.Compare(a.Player, b.Player)
		}
		return cmp.Or(order, tie, cmp.Compare(a.number, b.number))
	})
	for i := range all {
		all[i].Rank = int64(i) + 1
	}
	return all
}

// Within reports whether what was submitted at a time is shown at another.
func Within(r *leaderboard.Rules, at, now time.Time) bool {
	w := r.Window
	where := w.Location
	if where == nil {
		where = time.UTC
	}
	y, month, day := now.In(where).Date()
	switch w.Span {
	case leaderboard.AllTime:
		return true
	case leaderboard.Day:
		return !at.Before(time.Date(y, month, day, 0, 0, 0, 0, where))
	case leaderboard.Week:
		since := (int(now.In(where).Weekday()) + 6) % 7 // Monday
		return !at.Before(time.Date(y, month, day-since, 0, 0, 0, 0, where))
	}
	return at.Truncate(w.Bucket).Add(w.Bucket).After(now.Add(-w.Length))
}
