package valkey

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"cacheproxy/invalidation"
	"cacheproxy/policy"
	"cacheproxy/test/servers"

	"golang.org/x/sync/errgroup"
)

// BenchmarkInventory writes one article after another, as a write-through route does, and says what their marks take on the
// server and how long an instance takes to join that has to read them all:
//
//	go test ./invalidation/valkey -run '^$' -bench Inventory -benchtime 200000x
func BenchmarkInventory(b *testing.B) {
	server := servers.Valkey(b, servers.ValkeyOptions{})
	long := func(o *Options) { o.Lease = 3 * time.Second }
	a := join(b, serverAt(server.Address()), "a", long)
	before := usedMemory(b, server)
	b.ResetTimer()
	var writers errgroup.Group
	writers.SetLimit(64)
	for i := range b.N {
		writers.Go(func() error {
			members := append(policy.URLMembers("shop.example", fmt.Sprint("/inventory/", i), "", false), key("v1:stock:%d", i))
			f, err := a.Begin(b.Context(), members)
			if err != nil {
				return err
			}
			_, err = a.End(b.Context(), f, invalidation.Order{Wait: invalidation.WaitRecorded})
			return err
		})
	}
	if err := writers.Wait(); err != nil {
		b.Fatal(err)
	}
	b.StopTimer()
	size, err := server.CLI(b.Context(), "ZCARD", "{test}:hard")
	if err != nil {
		b.Fatal(err)
	}
	marks, err := strconv.ParseFloat(size, 64)
	if err != nil {
		b.Fatal(err)
	}
	began := time.Now()
	joined := join(b, serverAt(server.Address()), "b", long)
	b.ReportMetric(time.Since(began).Seconds(), "s/join")
	b.ReportMetric(marks, "marks")
	b.ReportMetric((usedMemory(b, server)-before)/(1<<20), "server-MiB")
	for _, m := range []*member{a, joined} {
		if s := m.State(); s.Floor != 0 || !m.ledger.Admits(invalidation.Token{}, nil) {
			b.Errorf("floor on %s: %d on the server; none here: %v", m.name, s.Floor, m.ledger.Admits(invalidation.Token{}, nil))
		}
		if n := m.ledger.Marks(); n != int(marks) {
			b.Errorf("%s knows %d of %v marks", m.name, n, marks)
		}
	}
}

// usedMemory is in bytes.
func usedMemory(tb testing.TB, s *servers.ValkeyServer) float64 {
	tb.Helper()
	text, err := s.CLI(tb.Context(), "INFO", "memory")
	if err != nil {
		tb.Fatal(err)
	}
	for line := range strings.Lines(text) {
		if value, ok := strings.CutPrefix(strings.TrimSpace(line), "used_memory:"); ok {
			n, err := strconv.ParseFloat(value, 64)
			if err != nil {
				tb.Fatal(err)
			}
			return n
		}
	}
	tb.Fatal("the server does not say how much memory it uses")
	return 0
}
