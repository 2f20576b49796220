package valkey

import (
	"context"
	"errors"
	"testing"
	"time"

	"cacheproxy/invalidation"
	"cacheproxy/policy"
	"cacheproxy/test/servers"
)

func withReplica(o *Options) { o.Replicas = 1 }

// Where a replica has to have it, nothing is acknowledged that only the primary has.
func TestDurability(t *testing.T) {
	t.Parallel()
	s := servers.StartValkeySentinel(t, "")
	at := serverAt(s.Primary.Address())
	a, b := join(t, at, "a", withReplica), join(t, at, "b", withReplica)
	purge(t, a, key("k"))
	f, err := a.Begin(t.Context(), []policy.Member{key("w")})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.End(t.Context(), f, invalidation.Order{}); err != nil {
		t.Fatal(err)
	}
	s.Replica.Kill()
	if r, err := a.Invalidate(t.Context(), invalidation.Order{Members: []policy.Member{key("k")}}); !errors.Is(err, invalidation.ErrNotRecorded) || r.Held {
		t.Errorf("without a replica: %+v, %v", r, err)
	}
	if _, err := b.Begin(t.Context(), []policy.Member{key("w")}); err == nil {
		t.Error("a fence stands that no replica has")
	}
}

// When a replica takes over, the instances follow it, with what they know: a purge that was acknowledged before holds after, and
// copies stay.
func TestFailover(t *testing.T) {
	t.Parallel()
	for _, killed := range []bool{false, true} {
		name := map[bool]string{false: "ordered", true: "the primary is killed"}[killed]
		t.Run(name, func(t *testing.T) {
			s := servers.StartValkeySentinel(t, "")
			at := Server{Addresses: []string{s.Sentinel.Address()}, Sentinel: &Sentinel{Master: servers.SentinelMaster}}
			a, b := join(t, at, "a"), join(t, at, "b")
			purge(t, a, key("before"))
			token := b.ledger.Token()
			purge(t, a, key("purged"))
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			defer cancel()
			if killed {
				s.Primary.Kill()
			} else if _, err := s.Sentinel.CLI(ctx, "SENTINEL", "FAILOVER", servers.SentinelMaster); err != nil {
				t.Fatal(err)
			}
			for {
				c, cancel := context.WithTimeout(ctx, 5*time.Second)
				_, err := b.Invalidate(c, invalidation.Order{Members: []policy.Member{key("after")}})
				cancel()
				if role, _ := s.Replica.CLI(ctx, "ROLE"); err == nil && len(role) > 6 && role[:6] == "master" {
					break
				}
				if ctx.Err() != nil {
					t.Fatalf("no purge after the failover: %v; state %+v", err, b.State())
				}
			}
			for _, m := range []*member{a, b} {
				m.await(t, "lease", func() bool { return m.Lease().Valid(time.Now()) })
				if m.admits(token, key("purged")) || m.admits(token, key("after")) || !m.admits(token, key("kept")) {
					t.Errorf("%s: purged %v, after %v, kept %v", m.name, m.admits(token, key("purged")), m.admits(token, key("after")), m.admits(token, key("kept")))
				}
			}
			late := join(t, at, "late")
			first, _ := late.ToLog(late.ledger.Token())
			if first.Seq < 3 {
				t.Errorf("the log of the new primary ends at %d", first.Seq)
			}
		})
	}
}
