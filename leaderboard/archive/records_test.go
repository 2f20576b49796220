package archive

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"cacheproxy/leaderboard"
)

// records is a server in memory that can be emptied, set back and stopped, with a clock of its own.
type records struct {
	mu     sync.Mutex
	now    time.Time
	state  *state
	down   error
	failAt func(call string) error // is asked before each call; nil: nothing fails
	cuts   int
}

type key struct{ route, board string }

type bucketKey struct {
	key
	start int64
}

type memberKey struct{ player, id string }

type held struct {
	members map[memberKey]leaderboard.Member
	end     time.Time
	owed    bool
	cut     bool
}

// state is what a server has, and what a snapshot of it is.
type state struct {
	loaded  map[string]bool
	marks   map[key]int64
	buckets map[bucketKey]*held
	lines   map[key][]leaderboard.Line
	lastID  map[key]int64
	totals  map[key]map[memberKey]leaderboard.Member // of what an all-time board had before
}

func newState() *state {
	return &state{map[string]bool{}, map[key]int64{}, map[bucketKey]*held{}, map[key][]leaderboard.Line{}, map[key]int64{}, map[key]map[memberKey]leaderboard.Member{}}
}

func (s *state) clone() *state {
	c := &state{maps.Clone(s.loaded), maps.Clone(s.marks), map[bucketKey]*held{}, map[key][]leaderboard.Line{}, maps.Clone(s.lastID), map[key]map[memberKey]leaderboard.Member{}}
	for k, h := range s.buckets {
		c.buckets[k] = &held{maps.Clone(h.members), h.end, h.owed, h.cut}
	}
	for k, l := range s.lines {
		c.lines[k] = slices.Clone(l)
	}
	for k, t := range s.totals {
		c.totals[k] = maps.Clone(t)
	}
	return c
}

func newRecords(now time.Time) *records { return &records{now: now, state: newState()} }

func (s *records) lock(call string) (func(), error) {
	if s.failAt != nil {
		if err := s.failAt(call); err != nil {
			return nil, err
		}
	}
	s.mu.Lock()
	if s.down != nil {
		defer s.mu.Unlock()
		return nil, s.down
	}
	return s.mu.Unlock, nil
}

// merged is what two of one player come to in a bucket.
func merged(r *leaderboard.Rules, is, comes leaderboard.Member) leaderboard.Member {
	switch r.Aggregate {
	case leaderboard.Best:
		if comes.Score > is.Score || comes.Score == is.Score && comes.At.Before(is.At) {
			return comes
		}
	case leaderboard.Lowest:
		if comes.Score < is.Score || comes.Score == is.Score && comes.At.Before(is.At) {
			return comes
		}
	case leaderboard.Sum, leaderboard.Last:
		if comes.At.After(is.At) {
			return comes
		}
	}
	return is
}

func (s *records) submit(r *leaderboard.Rules, board, player string, score float64) leaderboard.Line {
	s.mu.Lock()
	defer s.mu.Unlock()
	start := s.now.Truncate(r.Window.Bucket)
	k := key{r.Route, board}
	h := s.bucket(bucketKey{k, start.Unix()}, start.Add(r.Window.Bucket))
	s.state.lastID[k]++
	m := leaderboard.Member{Player: player, Score: score, At: s.now}
	line := leaderboard.Line{ID: fmt.Sprintf("%d-0", s.state.lastID[k]), Board: board, Submission: leaderboard.Submission{Player: player, Score: score}, At: s.now}
	if r.Aggregate == leaderboard.Every {
		m.ID = line.ID
	}
	mk := memberKey{player, m.ID}
	is, there := h.members[mk]
	switch {
	case !there:
		h.members[mk] = m
	case r.Aggregate == leaderboard.Sum:
		m.Score += is.Score
		h.members[mk] = m
	case r.Aggregate == leaderboard.Last:
		h.members[mk] = m
	default:
		h.members[mk] = merged(r, is, m)
	}
	h.owed = true
	if r.Submitted {
		s.state.lines[k] = append(s.state.lines[k], line)
	}
	return line
}

func (s *records) bucket(k bucketKey, end time.Time) *held {
	h := s.state.buckets[k]
	if h == nil {
		h = &held{members: map[memberKey]leaderboard.Member{}, end: end}
		s.state.buckets[k] = h
	}
	return h
}

// snapshot and restore are those of an operator; restore without one empties the server.
func (s *records) snapshot() *state {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state.clone()
}

func (s *records) restore(to *state) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if to == nil {
		to = newState()
	}
	s.state = to.clone()
}

func (s *records) advance(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now = s.now.Add(d)
}

// content is what all buckets of a board hold, by player and ID, with the totals.
func (s *records) content(r *leaderboard.Rules, board string) map[string]leaderboard.Member {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := map[string]leaderboard.Member{}
	for k, h := range s.state.buckets {
		if k.key == (key{r.Route, board}) {
			for mk, m := range h.members {
				all[fmt.Sprint(k.start, mk)] = m
			}
		}
	}
	for mk, m := range s.state.totals[key{r.Route, board}] {
		all[fmt.Sprint("total", mk)] = m
	}
	return all
}

func (s *records) Boards(_ context.Context, r *leaderboard.Rules) ([]string, error) {
	unlock, err := s.lock("Boards")
	if err != nil {
		return nil, err
	}
	defer unlock()
	names := map[string]bool{}
	for k := range s.state.buckets {
		if k.route == r.Route {
			names[k.board] = true
		}
	}
	return slices.Sorted(maps.Keys(names)), nil
}

func (s *records) Owed(_ context.Context, r *leaderboard.Rules, most int) (owed []leaderboard.Bucket, err error) {
	unlock, err := s.lock("Owed")
	if err != nil {
		return nil, err
	}
	defer unlock()
	if !s.state.loaded[r.Route] {
		return nil, leaderboard.ErrLoading
	}
	for k, h := range s.state.buckets {
		closed := !s.now.Before(h.end)
		if k.route == r.Route && !h.cut && (h.owed || closed) {
			owed = append(owed, leaderboard.Bucket{Route: r.Route, Board: k.board, Start: time.Unix(k.start, 0), End: h.end, Closed: closed})
		}
	}
	slices.SortFunc(owed, func(a, b leaderboard.Bucket) int {
		return cmp.Or(a.Start.Compare(b.Start), cmp.Compare(a.Board, b.Board))
	})
	return owed[:min(most, len(owed))], nil
}

func (s *records) Members(_ context.Context, r *leaderboard.Rules, b leaderboard.Bucket, from, most int) ([]leaderboard.Member, error) {
	unlock, err := s.lock("Members")
	if err != nil {
		return nil, err
	}
	defer unlock()
	if !s.state.loaded[r.Route] {
		return nil, leaderboard.ErrLoading
	}
	h := s.state.buckets[bucketKey{key{r.Route, b.Board}, b.Start.Unix()}]
	if h == nil {
		return nil, nil
	}
	all := slices.SortedFunc(maps.Values(h.members), func(a, b leaderboard.Member) int {
		return cmp.Or(cmp.Compare(b.Score, a.Score), cmp.Compare(a.Player, b.Player), cmp.Compare(a.ID, b.ID))
	})
	from = min(from, len(all))
	return all[from:min(from+most, len(all))], nil
}

func (s *records) Archived(_ context.Context, r *leaderboard.Rules, b leaderboard.Bucket, count int) (bool, error) {
	unlock, err := s.lock("Archived")
	if err != nil {
		return false, err
	}
	defer unlock()
	h := s.state.buckets[bucketKey{key{r.Route, b.Board}, b.Start.Unix()}]
	if h == nil {
		return true, nil
	}
	if !b.Closed {
		h.owed = false
		return true, nil
	}
	if len(h.members) != count {
		return false, nil
	}
	h.cut = true
	s.cuts++
	return true, nil
}

func (s *records) Lines(_ context.Context, r *leaderboard.Rules, board, after string, most int) ([]leaderboard.Line, error) {
	unlock, err := s.lock("Lines")
	if err != nil {
		return nil, err
	}
	defer unlock()
	if after != "" {
		return nil, errors.New("not asked for here")
	}
	all := s.state.lines[key{r.Route, board}]
	return slices.Clone(all[:min(most, len(all))]), nil
}

func (s *records) Taken(_ context.Context, r *leaderboard.Rules, board, upTo string, mark, limit int64) error {
	unlock, err := s.lock("Taken")
	if err != nil {
		return err
	}
	defer unlock()
	k := key{r.Route, board}
	if is := s.state.marks[k]; is < mark || is >= limit {
		return nil
	}
	number := func(id string) (n int64) { _, _ = fmt.Sscanf(id, "%d-0", &n); return n }
	s.state.lines[k] = slices.DeleteFunc(s.state.lines[k], func(l leaderboard.Line) bool { return number(l.ID) <= number(upTo) })
	return nil
}

func (s *records) Mark(_ context.Context, r *leaderboard.Rules, board string, given int64) (int64, error) {
	unlock, err := s.lock("Mark")
	if err != nil {
		return 0, err
	}
	defer unlock()
	k := key{r.Route, board}
	if s.state.marks[k] < given {
		return 0, leaderboard.ErrWentBack
	}
	s.state.marks[k]++
	return s.state.marks[k], nil
}

func (s *records) Mended(_ context.Context, r *leaderboard.Rules, board string, mark int64) error {
	unlock, err := s.lock("Mended")
	if err != nil {
		return err
	}
	defer unlock()
	k := key{r.Route, board}
	s.state.marks[k] = max(s.state.marks[k], mark)
	return nil
}

func (s *records) Empty(_ context.Context, r *leaderboard.Rules) (bool, error) {
	unlock, err := s.lock("Empty")
	if err != nil {
		return false, err
	}
	defer unlock()
	return !s.state.loaded[r.Route], nil
}

func (s *records) Load(_ context.Context, r *leaderboard.Rules, b leaderboard.Bucket, m []leaderboard.Member) error {
	unlock, err := s.lock("Load")
	if err != nil {
		return err
	}
	defer unlock()
	k := key{r.Route, b.Board}
	into := s.state.totals[k]
	if b.Start.Unix() != 0 {
		h := s.bucket(bucketKey{k, b.Start.Unix()}, b.End)
		h.cut = h.cut || b.Closed && len(h.members) == 0
		into = h.members
	} else if into == nil {
		into = map[memberKey]leaderboard.Member{}
		s.state.totals[k] = into
	}
	for _, comes := range m {
		mk := memberKey{comes.Player, comes.ID}
		if is, there := into[mk]; there {
			comes = merged(r, is, comes)
		}
		into[mk] = comes
	}
	return nil
}

func (s *records) Loaded(_ context.Context, r *leaderboard.Rules, board string) error {
	unlock, err := s.lock("Loaded")
	if err != nil {
		return err
	}
	defer unlock()
	if board == "" {
		s.state.loaded[r.Route] = true
	}
	return nil
}
