package valkey

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"cacheproxy/leaderboard"
	"cacheproxy/test/servers"
)

// A board that was made under other rules is neither written nor read, but for rules that may change.
func TestOtherRules(t *testing.T) {
	r := open(t, servers.Valkey(t, servers.ValkeyOptions{}))
	rules := daily(10)
	submit(t, r, rules, "b", "ann", 1)
	for name, change := range map[string]func(*leaderboard.Rules){
		"aggregate": func(r *leaderboard.Rules) { r.Aggregate = leaderboard.Lowest },
		"ties":      func(r *leaderboard.Rules) { r.Ties = leaderboard.ByName },
		"all ranks": func(r *leaderboard.Rules) { r.Top = 0 },
		"span":      func(r *leaderboard.Rules) { r.Window.Span = leaderboard.Day },
		"bucket":    func(r *leaderboard.Rules) { r.Window.Bucket = time.Hour },
	} {
		other := *rules
		change(&other)
		_, _, err := r.Submit(t.Context(), &other, leaderboard.Request{Board: "b", Submissions: one("ann", 2)})
		_, failed := r.Top(t.Context(), &other, "b", 1)
		if !errors.Is(err, leaderboard.ErrOtherRules) || !errors.Is(failed, leaderboard.ErrOtherRules) {
			t.Errorf("another %s: %v, %v", name, err, failed)
		}
	}
	longer := *rules
	longer.Window.Length, longer.Top = 48*time.Hour, 20
	if e, err := r.Player(t.Context(), &longer, "b", "ann"); err != nil || e.Score != 1 {
		t.Errorf("a longer window: %+v, %v", e, err)
	}
}

// A board that is kept under other rules is refused, and keeps no other board of its route from being archived, shown or measured.
func TestOtherRulesOfOneBoard(t *testing.T) {
	r := open(t, servers.Valkey(t, servers.ValkeyOptions{}))
	before := daily(10)
	submit(t, r, before, "a", "ann", 1)
	rules := daily(0)
	rules.Archived = true
	if empty, err := r.Empty(t.Context(), rules); err != nil || !empty {
		t.Fatal(empty, err)
	}
	if err := r.Loaded(t.Context(), rules, ""); err != nil {
		t.Error(err)
	}
	submit(t, r, rules, "b", "bob", 1)
	if _, err := r.Top(t.Context(), rules, "b", 1); err != nil {
		t.Error(err)
	}
	if owed, err := r.Owed(t.Context(), rules, 10); !errors.Is(err, leaderboard.ErrOtherRules) || len(owed) != 1 || owed[0].Board != "b" {
		t.Errorf("%+v, %v", owed, err)
	}
	if n, bytes, err := r.Measure(t.Context(), rules); n != 2 || bytes == 0 || err != nil {
		t.Errorf("%d boards of %d bytes, %v", n, bytes, err)
	}
}

// Of sums and of the last every player of the window is there, also beyond the ranks that are shown.
func TestAll(t *testing.T) {
	r := open(t, servers.Valkey(t, servers.ValkeyOptions{}))
	for _, aggregate := range []leaderboard.Aggregate{leaderboard.Sum, leaderboard.Last} {
		rules := daily(2)
		rules.Route, rules.Aggregate = fmt.Sprint("all", aggregate), aggregate
		for i, player := range []string{"ann", "bob", "cid"} {
			submit(t, r, rules, "b", player, float64(i))
		}
		top, err := r.Top(t.Context(), rules, "b", 100)
		all, failed := r.All(t.Context(), rules, "b")
		if err != nil || failed != nil || len(top.Entries) != 2 || len(all.Entries) != 3 || all.Entries[2].Player != "ann" || all.Entries[2].Rank != 3 {
			t.Errorf("top %+v, %v; all %+v, %v", top, err, all, failed)
		}
	}
}
