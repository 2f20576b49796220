package valkey

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	durable "cacheproxy/durable/valkey"
	connection "cacheproxy/invalidation/valkey"
	"cacheproxy/leaderboard"
	"cacheproxy/test/servers"
)

// Nothing is acknowledged where the server does not prove that it would survive; and the check says why.
func TestSubmitIsProved(t *testing.T) {
	for name, c := range map[string]struct {
		args       []string
		durability leaderboard.Durability
		unfit      string
	}{
		"no disk":    {nil, leaderboard.Synced, "appendonly is off"},
		"no replica": {[]string{"--appendonly", "yes"}, leaderboard.Replicas, "no replica is connected"},
		"no WAITAOF": {[]string{"--appendonly", "yes", "--rename-command", "WAITAOF", ""}, leaderboard.Synced, "does not know WAITAOF"}, // as of Redis before 7.2
		"eviction":   {[]string{"--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru"}, leaderboard.InMemory, "remove keys"},
		"nothing":    {nil, leaderboard.InMemory, ""},
		"a disk":     {[]string{"--appendonly", "yes"}, leaderboard.Synced, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, rules := open(t, servers.Valkey(t, servers.ValkeyOptions{Program: servers.ValkeyProgram, Args: c.args})), daily(10)
			rules.Durability = c.durability
			_, _, err := r.Submit(t.Context(), rules, leaderboard.Request{Board: "b", Submissions: one("ann", 1)})
			if lacks := c.unfit != "" && c.unfit != "remove keys"; errors.Is(err, leaderboard.ErrNotDurable) != lacks || err != nil && !lacks {
				t.Errorf("submitted with %v", err)
			}
			client, err := r.options.Connection.Client()
			if err != nil {
				t.Fatal(err)
			}
			if err := durable.Check(t.Context(), client, ProofOf(c.durability)); durable.Unfit(err) != (c.unfit != "") || !strings.Contains(fmt.Sprint(err), c.unfit) {
				t.Errorf("the server is found to be fit: %v", err)
			}
		})
	}
}

// storm submits from several clients until it is stopped, and counts what is acknowledged.
type storm struct {
	mu    sync.Mutex
	acked map[string]int // by player
	all   sync.WaitGroup
	stop  chan struct{}
}

func begin(ctx context.Context, r *Records, rules *leaderboard.Rules, boards ...string) *storm {
	s := &storm{acked: map[string]int{}, stop: make(chan struct{})}
	for i := range 8 {
		s.all.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-s.stop:
					return
				default:
				}
				player := fmt.Sprint(i, "-", n)
				ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
				_, _, err := r.Submit(ctx, rules, leaderboard.Request{Board: boards[n%len(boards)], Submissions: one(player, float64(n))})
				cancel()
				if err == nil {
					s.mu.Lock()
					s.acked[player]++
					s.mu.Unlock()
				}
			}
		})
	}
	return s
}

// count is how many have been acknowledged.
func (s *storm) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.acked)
}

// more waits until so many more were acknowledged.
func (s *storm) more(t *testing.T, n int) {
	t.Helper()
	for want, until := s.count()+n, time.Now().Add(30*time.Second); s.count() < want; {
		if time.Now().After(until) {
			t.Fatalf("%d acknowledged, want %d", s.count(), want)
		}
	}
}

func (s *storm) end() { close(s.stop); s.all.Wait() }

// lost is how many of those that were acknowledged are on no board.
func (s *storm) lost(t *testing.T, r *Records, rules *leaderboard.Rules, boards ...string) (lost int) {
	t.Helper()
	there := map[string]bool{}
	for _, board := range boards {
		v, err := r.Top(t.Context(), rules, board, 1<<30)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range v.Entries {
			there[e.Player] = true
		}
	}
	for player := range s.acked {
		if !there[player] {
			lost++
		}
	}
	return lost
}

// What was acknowledged with durability fsync is there after the server was killed, however often. With durability none it is not, where the
// server keeps nothing on disk.
func TestServerIsKilled(t *testing.T) {
	for name, c := range map[string]struct {
		args       []string
		durability leaderboard.Durability
	}{
		"fsync": {[]string{"--appendonly", "yes", "--appendfsync", "everysec"}, leaderboard.Synced},
		"none":  {nil, leaderboard.InMemory},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v := servers.Valkey(t, servers.ValkeyOptions{Program: servers.ValkeyProgram, Args: c.args})
			r, rules := open(t, v), daily(0)
			rules.Durability = c.durability
			s := begin(t.Context(), r, rules, "b")
			for range 3 {
				s.more(t, 50)
				v.Kill()
				if err := v.Start(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			s.more(t, 50)
			s.end()
			if n := s.lost(t, r, rules, "b"); (n > 0) != (c.durability == leaderboard.InMemory) {
				t.Errorf("%d of %d acknowledged are lost", n, s.count())
			}
		})
	}
}

// What was acknowledged with durability replicas is there after a replica has taken over that had lost its primary before. With durability
// none it is not.
func TestFailover(t *testing.T) {
	servers.NeedValkey(t, servers.ValkeyProgram)
	for _, d := range []leaderboard.Durability{leaderboard.Replicas, leaderboard.InMemory} {
		t.Run(fmt.Sprint(d), func(t *testing.T) {
			t.Parallel()
			v := servers.StartValkeySentinel(t, servers.ValkeyProgram)
			r := openAt(t, connection.Server{Addresses: []string{v.Sentinel.Address()}, Sentinel: &connection.Sentinel{Master: servers.SentinelMaster}})
			rules := daily(0)
			rules.Durability = d
			s := begin(t.Context(), r, rules, "b")
			s.more(t, 100)
			ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute) // a failover that fails on a busy machine is tried again
			defer cancel()
			if err := v.Replica.FollowAddress(ctx, "127.0.0.1:1"); err != nil { // where nobody is
				t.Fatal(err)
			}
			if d == leaderboard.InMemory {
				s.more(t, 100)
			}
			v.Primary.Kill()
			if err := v.AwaitPrimary(ctx, v.Replica); err != nil {
				t.Fatal(err)
			}
			before := s.count()
			if err := v.Primary.Start(ctx); err != nil {
				t.Fatal(err)
			}
			if err := v.AwaitReplica(ctx, v.Primary); err != nil { // without one nothing is acknowledged
				t.Fatal(err)
			}
			s.more(t, 100)
			s.end()
			if n := s.lost(t, r, rules, "b"); (n > 0) != (d == leaderboard.InMemory) {
				t.Errorf("%d of %d acknowledged, %d of them before, are lost", n, s.count(), before)
			}
		})
	}
}

// Boards are on all servers of a cluster, each on one; and one server that has lost its boards has those, and no other, read back.
func TestCluster(t *testing.T) {
	for _, program := range servers.ValkeyPrograms() {
		t.Run(program, func(t *testing.T) {
			nodes := servers.ValkeyCluster(t, program)
			var at connection.Server
			for _, n := range nodes {
				at.Addresses = append(at.Addresses, n.Address())
				if program == servers.ValkeyProgram {
					if out, err := n.CLI(t.Context(), "CONFIG", "SET", "appendonly", "yes"); err != nil {
						t.Fatal(out, err)
					}
				}
			}
			r, rules := openAt(t, at), daily(0)
			rules.MaxBoards, rules.Archived = 20, true
			if program == servers.ValkeyProgram {
				rules.Durability = leaderboard.Synced
			}
			if _, err := r.Empty(t.Context(), rules); err != nil {
				t.Fatal(err)
			}
			if err := r.Loaded(t.Context(), rules, ""); err != nil {
				t.Fatal(err)
			}
			var boards []string
			for i := range 12 {
				boards = append(boards, fmt.Sprint("board ", i))
			}
			s := begin(t.Context(), r, rules, boards...)
			s.more(t, 200)
			s.end()
			if n := s.lost(t, r, rules, boards...); n > 0 {
				t.Errorf("%d of %d acknowledged are lost", n, s.count())
			}
			home, err := nodes[0].CLI(t.Context(), "KEYS", "{shop:lb:scores}:*")
			if err != nil {
				t.Fatal(err)
			}
			emptied := nodes[0] // not that of the route
			if len(home) > 1 {
				emptied = nodes[1]
			}
			if out, err := emptied.CLI(t.Context(), "FLUSHALL"); err != nil {
				t.Fatal(out, err)
			}
			loading := 0
			for _, b := range boards {
				_, err := r.Top(t.Context(), rules, b, 1)
				if errors.Is(err, leaderboard.ErrLoading) {
					loading++
				} else if err != nil {
					t.Fatal(err)
				}
			}
			empty, err := r.Empty(t.Context(), rules)
			if err != nil || !empty || loading == 0 || loading == len(boards) {
				t.Errorf("%d of %d boards are read back, empty %v, %v", loading, len(boards), empty, err)
			}
		})
	}
}

// A primary goes on as one for seconds after sentinels have named another. Once the client knows of that one, nothing is acknowledged by a
// connection to the old one that was kept.
func TestPrimaryThatWasReplaced(t *testing.T) {
	v := servers.StartValkeySentinel(t, servers.ValkeyProgram, "--appendonly", "yes")
	r := openAt(t, connection.Server{Addresses: []string{v.Sentinel.Address()}, Sentinel: &connection.Sentinel{Master: servers.SentinelMaster}})
	rules := daily(0)
	rules.Durability = leaderboard.Synced
	s := begin(t.Context(), r, rules, "b")
	s.more(t, 100)
	s.end()
	if out, err := v.Sentinel.CLI(t.Context(), "SENTINEL", "FAILOVER", servers.SentinelMaster); err != nil {
		t.Fatal(out, err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := v.AwaitPrimary(ctx, v.Replica); err != nil {
		t.Fatal(err)
	}
	client, err := r.options.Connection.Client()
	if err != nil {
		t.Fatal(err)
	}
	for client.Nodes()[v.Replica.Address()] == nil {
		if ctx.Err() != nil {
			t.Fatal("the client does not hear of the new primary")
		}
	}
	s = begin(t.Context(), r, rules, "b")
	s.more(t, 100)
	s.end()
	if n := s.lost(t, r, rules, "b"); n > 0 {
		t.Errorf("%d of %d acknowledged are lost", n, s.count())
	}
}
