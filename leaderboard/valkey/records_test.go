package valkey

import (
	"context"
	"testing"
	"time"

	connection "cacheproxy/invalidation/valkey"
	"cacheproxy/leaderboard"
	"cacheproxy/test/servers"
)

// open is records of one instance, which run until the test ends.
func open(t testing.TB, v *servers.ValkeyServer) *Records {
	t.Helper()
	return openAt(t, connection.Server{Addresses: []string{v.Address()}})
}

func openAt(t testing.TB, s connection.Server) *Records {
	t.Helper()
	c := connection.NewConnection(s, 0)
	if err := c.Connect(); err != nil {
		t.Fatal(err)
	}
	r := New(Options{Connection: c, Prefix: "shop", Timeout: 5 * time.Second})
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = r.Run(ctx)
	}()
	t.Cleanup(func() { cancel(); <-ended })
	return r
}

func daily(top int) *leaderboard.Rules {
	return &leaderboard.Rules{
		Route: "scores", Top: top, MaxBoards: 3, Repeats: time.Hour,
		Window: leaderboard.Window{Length: 24 * time.Hour, Bucket: time.Minute},
	}
}

func submit(t testing.TB, r *Records, rules *leaderboard.Rules, board, player string, score float64) leaderboard.Receipt {
	t.Helper()
	receipts, _, err := r.Submit(t.Context(), rules, leaderboard.Request{Board: board, Submissions: []leaderboard.Submission{{Player: player, Score: score}}})
	if err != nil {
		t.Fatal(err)
	}
	return receipts[0]
}

func TestBoard(t *testing.T) {
	for _, program := range servers.ValkeyPrograms() {
		t.Run(program, func(t *testing.T) {
			r, rules := open(t, servers.Valkey(t, servers.ValkeyOptions{Program: program})), daily(2)
			if v, err := r.Top(t.Context(), rules, "chess", 10); err != nil || len(v.Entries) != 0 {
				t.Fatalf("%+v, %v", v, err)
			}
			if got := submit(t, r, rules, "chess", "ann", 5); got.Rank != 1 || got.Score != 5 {
				t.Errorf("%+v", got)
			}
			submit(t, r, rules, "chess", "bob", 5)
			submit(t, r, rules, "chess", "cid", 7)
			submit(t, r, rules, "chess", "ann", 4)
			v, err := r.Top(t.Context(), rules, "chess", 10)
			if err != nil || len(v.Entries) != 2 || v.Entries[0].Player != "cid" || v.Entries[1].Player != "ann" || v.Entries[1].Rank != 2 || !v.Full {
				t.Errorf("%+v, %v", v, err)
			}
		})
	}
}
