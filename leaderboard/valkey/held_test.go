package valkey

import (
	"errors"
	"slices"
	"testing"
	"time"

	"cacheproxy/leaderboard"
	"cacheproxy/test/servers"
)

// A process without an archiver reads what the records of a route with an archive hold, as long as they are whole.
func TestHeldForAnotherProcess(t *testing.T) {
	v := servers.Valkey(t, servers.ValkeyOptions{Program: servers.ValkeyProgram})
	instance, other := open(t, v), open(t, v)
	rules := daily(10)
	rules.Archived = true
	held := func() (players []string, err error) {
		err = other.Held(t.Context(), rules, "b", 2, func(_ leaderboard.Bucket, page []leaderboard.Member) error {
			for _, m := range page {
				players = append(players, m.Player)
			}
			return nil
		})
		slices.Sort(players)
		return players, err
	}
	if _, err := instance.Empty(t.Context(), rules); err != nil {
		t.Fatal(err)
	}
	submit(t, instance, rules, "b", "ann", 1)
	if players, err := held(); !errors.Is(err, leaderboard.ErrLoading) {
		t.Errorf("while the records are loaded: %v, %v", players, err)
	}
	if err := instance.Loaded(t.Context(), rules, ""); err != nil {
		t.Fatal(err)
	}
	for _, player := range []string{"bob", "cid"} {
		submit(t, instance, rules, "b", player, 2)
	}
	if players, err := held(); err != nil || !slices.Equal(players, []string{"ann", "bob", "cid"}) {
		t.Errorf("%v, %v", players, err)
	}
	if out, err := v.CLI(t.Context(), "del", instance.board(rules, "b")+"m"); err != nil {
		t.Fatal(out, err)
	}
	for _, what := range []string{"lost", "faulted"} {
		if players, err := held(); !errors.Is(err, leaderboard.ErrLoading) || len(players) > 0 {
			t.Errorf("a board that is %s: %v, %v", what, players, err)
		}
	}
	if empty, err := instance.Empty(t.Context(), rules); err != nil || !empty {
		t.Errorf("the loss was not reported: %v, %v", empty, err)
	}
	// Another process loads the board into records without an instance: the board is of no incarnation, and not whole.
	if err := instance.Loaded(t.Context(), rules, ""); err != nil {
		t.Fatal(err)
	}
	b := rules.BucketOf(time.Now().Add(-time.Minute))
	b.Board = "b"
	if err := other.Load(t.Context(), rules, b, []leaderboard.Member{{Player: "dan", Score: 3, At: b.Start}}); err != nil {
		t.Fatal(err)
	}
	if players, err := held(); !errors.Is(err, leaderboard.ErrLoading) || len(players) > 0 {
		t.Errorf("a board of another incarnation: %v, %v", players, err)
	}
}
