// Package memory stores the records of boards in this process, and loses them when the process ends. It serves a first
// look without a server, and tests of users of records. The package keeps every submission of the window, and computes
// the board on each read.
package memory

import (
	"context"
	"maps"
	"math"
	"slices"
	"time"

	"cacheproxy/leaderboard"
	"cacheproxy/leaderboard/model"
	"cacheproxy/lockorder"
)

// Records implements leaderboard.Records. They are safe for concurrent use.
type Records struct {
	now func() time.Time

	mu     lockorder.Mutex[lockorder.MemoryBoards]
	boards map[string]map[string][]leaderboard.Line // by route and name, in the order of arrival
	keys   map[string]*remembered                   // by idempotency key; remember adds keys, and deletes those that ended
	full   int                                      // remember deletes the ended keys once keys has this many
	last   time.Time                                // the time of the last submission; no two times are equal
}

type remembered struct {
	print    string
	receipts []leaderboard.Receipt
	until    time.Time
}

// New makes records that use now as their clock.
func New(now func() time.Time) *Records {
	return &Records{now: now, boards: map[string]map[string][]leaderboard.Line{}, keys: map[string]*remembered{}}
}

// Submit implements leaderboard.Records.
func (m *Records) Submit(_ context.Context, r *leaderboard.Rules, q leaderboard.Request) ([]leaderboard.Receipt, bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	now, key := m.now(), r.Route+"\x00"+q.Board+"\x00"+q.Key
	if before := m.keys[key]; before != nil && q.Key != "" && now.Before(before.until) {
		if before.print != q.Print {
			return nil, false, leaderboard.ErrKeyReused
		}
		return before.receipts, true, nil
	}
	lines, there := m.boards[r.Route][q.Board]
	if !there && len(m.boards[r.Route]) >= r.MaxBoards && !m.giveUp(r) {
		return nil, false, leaderboard.ErrTooManyBoards
	}
	if err := r.CheckScores(q.Submissions); err != nil {
		return nil, false, err
	}
	for _, s := range q.Submissions {
		at := now.Truncate(time.Microsecond)
		if !at.After(m.last) {
			at = m.last.Add(time.Microsecond)
		}
		m.last = at
		lines = append(lines, leaderboard.Line{Board: q.Board, Submission: s, At: at})
	}
	all := *r
	all.Top = 0
	ranking := model.Ranking(&all, lines, m.clock())
	receipts := make([]leaderboard.Receipt, len(q.Submissions))
	for i, s := range q.Submissions {
		at := lines[len(lines)-len(q.Submissions)+i].At
		e := ranking[slices.IndexFunc(ranking, func(e leaderboard.Entry) bool {
			return e.Player == s.Player && (r.Aggregate != leaderboard.Every || e.At.Equal(at))
		})]
		if math.Abs(e.Score) > leaderboard.Exact {
			return nil, false, leaderboard.ErrTooLarge
		}
		receipts[i] = leaderboard.Receipt{Player: s.Player, Score: e.Score, Rank: e.Rank}
		if r.Top > 0 && e.Rank > int64(r.Top) {
			receipts[i].Rank = 0
		}
	}
	if m.boards[r.Route] == nil {
		m.boards[r.Route] = map[string][]leaderboard.Line{}
	}
	m.boards[r.Route][q.Board] = lines
	if q.Key != "" && r.Repeats > 0 {
		m.remember(key, &remembered{q.Print, receipts, now.Add(r.Repeats)}, now)
	}
	return receipts, false, nil
}

// fewKeys is the number of keys up to which ended keys may stay.
const fewKeys = 64

// remember adds a key. The map holds at most fewKeys, or twice the most keys that were ever valid together: remember
// deletes the ended keys whenever the map has doubled since the last deletion. So one call looks at two keys on
// average, however many the map has. The caller holds mu.
func (m *Records) remember(key string, of *remembered, now time.Time) {
	if len(m.keys) >= m.full {
		maps.DeleteFunc(m.keys, func(_ string, of *remembered) bool { return !now.Before(of.until) })
		m.full = max(fewKeys, 2*len(m.keys))
	}
	m.keys[key] = of
}

// giveUp removes the boards of a route that have nothing in the window, and reports whether any were removed. The
// caller holds mu.
func (m *Records) giveUp(r *leaderboard.Rules) (any bool) {
	for name := range m.boards[r.Route] {
		if len(m.ranking(r, name)) == 0 {
			delete(m.boards[r.Route], name)
			any = true
		}
	}
	return any
}

// clock returns the time, but at least the time of the last submission. The caller holds mu.
func (m *Records) clock() time.Time {
	if now := m.now(); now.After(m.last) {
		return now
	}
	return m.last
}

// Top implements leaderboard.Records.
func (m *Records) Top(_ context.Context, r *leaderboard.Rules, board string, n int) (leaderboard.View, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	all := m.ranking(r, board)
	return view(r, all, 0, n), nil
}

// Around implements leaderboard.Records.
func (m *Records) Around(_ context.Context, r *leaderboard.Rules, board, player string, n int) (leaderboard.View, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	all := m.ranking(r, board)
	at, err := find(r, all, player)
	if err != nil {
		return leaderboard.View{}, err
	}
	return view(r, all, at-n, at+n+1), nil
}

// Player implements leaderboard.Records.
func (m *Records) Player(_ context.Context, r *leaderboard.Rules, board, player string) (leaderboard.Entry, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	all := m.ranking(r, board)
	at, err := find(r, all, player)
	if err != nil {
		return leaderboard.Entry{}, err
	}
	return all[at], nil
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

// ranking returns the places of a board that are kept, and forgets submissions that have left the window. The caller
// holds mu.
func (m *Records) ranking(r *leaderboard.Rules, board string) []leaderboard.Entry {
	lines, now := m.boards[r.Route][board], m.clock()
	each := *r
	each.Aggregate, each.Top = leaderboard.Every, 0
	if shown := model.Ranking(&each, lines, now); len(shown) < len(lines) {
		within := map[time.Time]bool{}
		for _, e := range shown {
			within[e.At] = true
		}
		lines = slices.DeleteFunc(lines, func(l leaderboard.Line) bool { return !within[l.At] })
		m.boards[r.Route][board] = lines
	}
	return model.Ranking(r, lines, now)
}

func view(r *leaderboard.Rules, all []leaderboard.Entry, from, to int) leaderboard.View {
	return leaderboard.View{Entries: all[max(from, 0):min(to, len(all))], Players: int64(len(all)), Full: r.Top > 0 && len(all) == r.Top}
}

// find returns the index of the first place of a player.
func find(r *leaderboard.Rules, all []leaderboard.Entry, player string) (int, error) {
	at := slices.IndexFunc(all, func(e leaderboard.Entry) bool { return e.Player == player })
	switch {
	case at >= 0:
		return at, nil
	case r.Top > 0 && len(all) == r.Top:
		return 0, leaderboard.ErrBeyond
	}
	return 0, leaderboard.ErrNotThere
}
