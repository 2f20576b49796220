package inventory

import (
	"context"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"cacheproxy/test/servers"

	"github.com/anishathalye/porcupine"
)

var (
	operations = flag.Int("operations", 6000, "how many requests are made at least")
	clients    = flag.Int("clients", 24, "how many make them, each one after the other")
	pictures   = flag.String("pictures", "", "folder for a picture of each violation; empty: none is drawn")
)

var program string

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "inventory-")
		if err != nil {
			panic(err)
		}
		defer os.RemoveAll(dir)
		if program, err = servers.BuildCacheproxy(context.Background(), dir); err != nil {
			panic(err)
		}
		return m.Run()
	}())
}

// load has clients make requests until there are enough, while something is done.
func (s *scene) load(enough int, meanwhile func(left func() bool)) *history {
	h := newHistory()
	shared := &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: *clients, DisableCompression: true}}
	defer shared.CloseIdleConnections()
	for sku := 1; sku <= skus; sku++ {
		c := &client{number: 0, scene: s, history: h, http: shared}
		if !c.set(0, sku, int64(4*(sku%8))) {
			s.t.Fatal("a stock cannot be set before anything fails")
		}
	}
	left := func() bool { return h.done() < enough && !s.t.Failed() }
	var at sync.WaitGroup
	for i := range *clients {
		at.Go(func() {
			for c := (&client{number: 1 + i, scene: s, history: h, http: shared}); left(); {
				c.step()
			}
		})
	}
	meanwhile(left)
	at.Wait()
	s.broken.Wait()
	return h
}

// faults has one thing after the other fail.
func (s *scene) faults(left func() bool) {
	done := map[string]int{}
	for n := 0; left(); n++ {
		act := []struct {
			name string
			do   func()
		}{
			{"a proxy is killed when the shop has done what it sent", func() { s.origin.next.Store(int32(killAfter)) }},
			{"the shop does not answer in time what it has done", func() { s.origin.next.Store(int32(silentAfter)) }},
			{"Valkey is restarted", s.restartValkey},
			{"a proxy is killed before the shop does what it sent", func() { s.origin.next.Store(int32(killBefore)) }},
			{"the shop does late what nobody waits for", func() { s.origin.next.Store(int32(slowBefore)) }},
			{"a proxy stands still", func() { s.freeze(rand.IntN(instances), 1500*time.Millisecond) }},
		}[n%6]
		act.do()
		done[act.name]++
		<-time.After(700 * time.Millisecond)
	}
	for _, name := range slices.Sorted(maps.Keys(done)) {
		s.t.Logf("%d times: %s", done[name], name)
	}
}

// report judges a history, and says what was asked and answered.
func report(t *testing.T, h *history) []violation {
	t.Helper()
	took, began := time.Since(h.began), time.Now()
	violations, undecided := judge(h.bySKU)
	total, open := 0, 0
	for _, history := range h.bySKU {
		for _, o := range history {
			if total++; o.Return == never {
				open++
			}
		}
	}
	t.Logf("%d requests in %v, %d operations on %d skus, %d of unknown outcome; %d violations, %d undecided, judged in %v; answers: %v",
		h.requests, took.Round(time.Millisecond), total, len(h.bySKU), open, len(violations), len(undecided), time.Since(began).Round(time.Millisecond), h.counts)
	if len(undecided) > 0 {
		t.Errorf("undecided after %v each: %v", patience, undecided)
	}
	for i, v := range violations {
		if *pictures != "" {
			if err := porcupine.VisualizePath(register, v.info, filepath.Join(*pictures, v.sku+".html")); err != nil {
				t.Error(err)
			}
		}
		if i < 3 {
			t.Logf("%s: no register answers so:%s", v.sku, describe(v))
		}
	}
	return violations
}

// describe is the end of a history that cannot be explained.
func describe(v violation) string {
	var b strings.Builder
	part := slices.Clone(v.first)
	slices.SortFunc(part, func(a, b porcupine.Operation) int { return int(a.Call - b.Call) })
	for _, o := range part[max(0, len(part)-12):] {
		end := "?"
		if o.Return != never {
			end = time.Duration(o.Return).String()
		}
		fmt.Fprintf(&b, "\n  client %2d, %v to %s: %s", o.ClientId, time.Duration(o.Call), end, register.DescribeOperation(o.Input, o.Output))
	}
	return b.String()
}

// Reads and writes of each stock are those of one register, on all instances, while these, Valkey and the shop fail.
func TestStockIsARegister(t *testing.T) {
	s := newScene(t, "write-through")
	h := s.load(*operations, s.faults)
	if violations := report(t, h); len(violations) > 0 {
		t.Errorf("%d of %d stocks are not registers", len(violations), skus)
	}
}
