package store

import (
	"testing"
	"time"

	"cacheproxy/invalidation"
	"cacheproxy/policy"
)

// What ends a mark: time, an answer that is to be shared, and whatever makes a copy of its members unusable.
func TestMarkEnds(t *testing.T) {
	member := policy.NewMember(policy.KindKey, "product:17")
	other := policy.NewMember(policy.KindKey, "product:18")
	for _, c := range []struct {
		about string
		after time.Duration
		end   func(s *Store, log *invalidation.Local)
		holds bool
	}{
		{about: "nothing", holds: true},
		{about: "a moment before its end", after: time.Minute - 1, holds: true},
		{about: "its time", after: time.Minute},
		{about: "an answer to be shared", end: func(s *Store, _ *invalidation.Local) { s.Unmark("k") }},
		{about: "a purge", end: func(_ *Store, log *invalidation.Local) { purge(t, log, member, false) }},
		{about: "a soft purge", end: func(_ *Store, log *invalidation.Local) { purge(t, log, member, true) }},
		{about: "a purge of something else", end: func(_ *Store, log *invalidation.Local) { purge(t, log, other, false) }, holds: true},
	} {
		s, ledger := New(NewMemory(1<<20)), invalidation.NewLedger()
		log := invalidation.NewLocal(ledger, "test")
		m := &Mark{Until: now.Add(time.Minute), Why: policy.OriginStatus, Members: invalidation.IDsOf([]policy.Member{member})}
		m.Stamp.Set(ledger.Token())
		s.Mark("k", m)
		if c.end != nil {
			c.end(s, log)
		}
		if holds := s.Marked("k", ledger, now.Add(c.after)) == m; holds != c.holds {
			t.Errorf("after %s: it holds: %v, want %v", c.about, holds, c.holds)
		}
	}
}

func purge(t *testing.T, log *invalidation.Local, m policy.Member, soft bool) {
	t.Helper()
	if _, err := log.Invalidate(t.Context(), invalidation.Order{Members: []policy.Member{m}, Soft: soft}); err != nil {
		t.Fatal(err)
	}
}
