package invalidation

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"cacheproxy/policy"
	"cacheproxy/policy/httpcache"
)

func crowdTable(t testing.TB, literal map[string]string, patterns ...string) *policy.Table {
	t.Helper()
	var routes []*policy.Route
	for _, text := range patterns {
		p, err := policy.ParsePattern(text)
		if err != nil {
			t.Fatal(err)
		}
		r := &policy.Route{Name: text, Patterns: []policy.Pattern{p}}
		if r.Host.Literal = literal[text]; r.Host.Literal == "several" {
			other, _ := policy.ParsePattern("www." + text)
			r.Patterns = append(r.Patterns, other)
		}
		routes = append(routes, r)
	}
	table, err := policy.NewTable(routes)
	if err != nil {
		t.Fatal(err)
	}
	return table
}

// Whatever is coarsened, by instances with whatever configuration: a copy that the exact names of a write find is not used again, also
// where another configuration has made it. And what is written below one beginning of a pattern costs no copy below another.
func TestCrowdMissesNothing(t *testing.T) {
	tables := []*policy.Table{
		crowdTable(t, nil, "/", "/v/{id}", "/v/special/{id}", "/{tenant}/x/y", "a.example/", "a.example/v/{id}"),
		crowdTable(t, map[string]string{"/": "api", "b.example/": "several"}, "/", "/v/{id}", "b.example/"),
		crowdTable(t, nil, "/", "b.example/"), // of the two hosts it knows one
		crowdTable(t, map[string]string{"a.example/v/{id}": "api", "/w/": "api"}, "/w/", "a.example/v/{id}", "/{a}"),
	}
	hosts := []string{"a.example", "b.example", "www.b.example", "c.example", "d.example"}
	hits, spared := 0, 0
	for seed := range uint64(8) {
		r := rand.New(rand.NewPCG(seed, 1))
		l := NewLedger()
		l.limit = 8 // of a shard: there is room for few names
		crowd, log := NewCrowd(l), NewLocal(l, "test")
		var m model
		target := func() httpcache.Target {
			paths := []string{"/v/%d", "/v/special/%d", "/%d/x/y", "/w/%d", "/%d", "/%d/%d", "/v", "/"}
			u := httpcache.Target{Scheme: "http", Host: hosts[r.IntN(len(hosts))], Path: paths[r.IntN(len(paths))]}
			if r.IntN(9) == 0 {
				u.Host = fmt.Sprintf("h%d.example", r.IntN(100))
			}
			for i := range u.Path {
				if u.Path[i] == '%' {
					u.Path = fmt.Sprintf(u.Path, r.IntN(20_000), r.IntN(5))
					break
				}
			}
			u.Path = cutExtra(u.Path)
			return u
		}
		for range 700 {
			// A copy under one configuration, a write under another; all of a seed under the same, since what several spare is less.
			u := target()
			read, _ := tables[r.IntN(len(tables))].Match(http.MethodGet, u, nil, netip.Addr{})
			if read.Route == nil {
				continue
			}
			ids := IDsOf(read.Route.Members(&read, u, "", nil, nil))
			c := &held{stamp: stamped(l.Token()), ids: ids, set: map[ID]bool{}}
			for _, id := range ids {
				c.set[id] = true
			}
			for range 1 + r.IntN(20) {
				table, w := tables[seed%uint64(len(tables))], target()
				if r.IntN(4) == 0 {
					w = u
				}
				write, _ := table.Match(http.MethodPut, w, nil, netip.Addr{})
				route := write.Route
				if route == nil {
					route = &policy.Route{}
				}
				names, _, _ := route.Effects(&write, w, "", nil, nil)
				o := Order{}
				for _, name := range names {
					switch wider, but := table.Wider(name); {
					case len(wider) == 0 || crowd.Admits(name, wider[0], epoch):
						o.Members = append(o.Members, name)
					case len(but) == 0:
						o.Members = append(o.Members, wider...)
					default:
						spared++
						o.Wide = append(o.Wide, Wide{wider, but})
					}
				}
				receipt, _ := log.Invalidate(context.Background(), o)
				m.entries = append(m.entries, Entry{Position: receipt.Position, IDs: IDsOf(names)})
			}
			if m.verdict(c.stamp.token, c.set) == Purged {
				hits++
				if got := l.Check(c.stamp, ids); got != Purged || l.Admits(c.stamp.token, ids) || !l.Since(c.stamp.token, ids) {
					t.Fatalf("seed %d: the copy of %s%s, of route %q, was written to and is %v", seed, u.Host, u.Path, read.Route.Name, got)
				}
			}
		}
	}
	if hits < 250 || spared < 250 {
		t.Errorf("%d copies were written to, %d names spared others: the test tests nothing", hits, spared)
	}
}

// cutExtra is a path without what Sprintf says of an argument too many.
func cutExtra(path string) string {
	for i := range path {
		if path[i] == '%' {
			return path[:i]
		}
	}
	return path
}

// Names that one writer makes up never fill the ledger, however many there are, of however many beginnings, and by however many
// instances: three quarters of it are what they have.
func TestCrowdLeavesRoom(t *testing.T) {
	if raceEnabled {
		t.Skip("one goroutine, and many names: test/norace runs it")
	}
	for _, n := range []int{1, 16, 300} {
		l := NewLedger()
		l.limit = 512
		crowds := make([]*Crowd, n)
		for i := range crowds {
			crowds[i] = NewCrowd(l)
		}
		position := uint64(0)
		for i := range 4 * 512 * shards {
			name, wider := policy.NewMember(policy.KindURL, fmt.Sprintf("h/v/%d", i)), policy.NewMember(policy.KindPrefix, fmt.Sprintf("h/v%d", i%7))
			if !crowds[i%n].Admits(name, wider, epoch) {
				name = wider
			}
			position++
			l.Apply(Entry{Position: position, IDs: []ID{IDOf(name)}}, epoch)
		}
		if got, most := l.Marks(), 512*shards*3/4+8; got > most || l.floor.Load() != 0 {
			t.Errorf("%d writers: %d marks, want %d at most; floor %d", n, got, most, l.floor.Load())
		}
	}
}

// An inventory of 100,000 names which 16 instances write all over stays exact, and so it does again after a flood has grown old.
func TestCrowdKeepsAnInventoryExact(t *testing.T) {
	if raceEnabled {
		t.Skip("one goroutine, and many names: test/norace runs it")
	}
	l := NewLedger()
	l.Retain(time.Hour)
	position, now := uint64(0), epoch
	write := func(c *Crowd, name, wider policy.Member) (exact bool) {
		if exact = c.Admits(name, wider, now); !exact {
			name = wider
		}
		position++
		l.Apply(Entry{Position: position, IDs: []ID{IDOf(name)}}, now)
		return exact
	}
	crowds := make([]*Crowd, 16)
	for i := range crowds {
		crowds[i] = NewCrowd(l)
	}
	inventory := func() (coarse int) {
		for round := range 2 {
			for i := range 200_000 { // each URL has two names
				if !write(crowds[(i+round)%16], policy.NewMember(policy.KindURL, fmt.Sprint("h/inventory/", i)), "ph/inventory") {
					coarse++
				}
			}
		}
		return coarse
	}
	if n := inventory(); n > 0 {
		t.Errorf("%d of the names were coarsened", n)
	}
	coarse := 0
	for i := range 500_000 {
		if !write(crowds[0], policy.NewMember(policy.KindURL, fmt.Sprint("h/v/", i)), "ph/v") {
			coarse++
		}
	}
	if coarse == 0 || l.floor.Load() != 0 {
		t.Errorf("%d of a flood were coarsened, floor %d", coarse, l.floor.Load())
	}
	if n := inventory(); n > 0 {
		t.Errorf("after a flood %d of the names were coarsened", n)
	}
	for range 4 * 8 * shards {
		now = now.Add(2 * l.kept() / (8 * shards))
		write(crowds[0], "uh/v/one", "ph/v")
	}
	if l.Marks() > 10 || !write(crowds[0], "uh/v/two", "ph/v") {
		t.Errorf("%d marks are left of what no copy can be concerned by", l.Marks())
	}
}

// A write that came to nothing leaves no mark: who is refused a million times crowds nobody.
func TestRefusedWritesLeaveNoMark(t *testing.T) {
	l := NewLedger()
	log := NewLocal(l, "test")
	for i := range 100 {
		f, _ := log.Begin(t.Context(), []policy.Member{policy.NewMember(policy.KindURL, fmt.Sprint("h/", i))})
		if _, err := log.End(t.Context(), f, Order{Undone: true}); err != nil {
			t.Fatal(err)
		}
	}
	if n := l.Marks(); n != 0 {
		t.Errorf("%d marks", n)
	}
}

// Strangers write to many more names than a ledger has marks for. It costs the copies that begin as what they write to does, and no
// others: neither those of routes beside it, above it or below it, nor those of other hosts, also where they make up the hosts.
func TestFloodCostsItsBeginningAlone(t *testing.T) {
	if raceEnabled {
		t.Skip("one goroutine, and many names: test/norace runs it")
	}
	table := crowdTable(t, nil, "/", "/v/{id}", "/v/special/{id}", "/w/{id}", "/login", "tenant.example/")
	at := func(text string) httpcache.Target {
		host, path, _ := strings.Cut(text, "/")
		path, query, has := strings.Cut(path, "?")
		return httpcache.Target{Scheme: "http", Host: host, Path: "/" + path, Query: query, HasQuery: has}
	}
	copies := []string{"shop.example/copy", "shop.example/v/copy", "shop.example/v/special/copy", "shop.example/w/copy", "tenant.example/copy", "tenant.example/v/copy"}
	for write, gone := range map[string][]string{
		"shop.example/v/%d":       {"shop.example/v/copy"},
		"shop.example/login?n=%d": nil,
		"shop.example/%d":         {"shop.example/copy"},
		"h%d.example/v/1":         {"shop.example/v/copy"},
		"tenant.example/%d":       {"tenant.example/copy"},
	} {
		l := NewLedger()
		l.limit = 256
		crowd, log := NewCrowd(l), NewLocal(l, "test")
		stamps, members := map[string]*Stamp{}, map[string][]ID{}
		for _, c := range copies {
			m, _ := table.Match(http.MethodGet, at(c), nil, netip.Addr{})
			stamps[c], members[c] = stamped(l.Token()), IDsOf(m.Route.Members(&m, at(c), "", nil, nil))
		}
		for n := range 3 * 256 * shards {
			u := at(fmt.Sprintf(write, n))
			var o Order
			for _, host := range []string{u.Host, "*"} { // as a write names its URL
				name := policy.NewMember(policy.KindURL, host+strings.TrimPrefix(fmt.Sprintf(write, n), u.Host))
				switch wider, but := table.Wider(name); {
				case crowd.Admits(name, wider[0], epoch):
					o.Members = append(o.Members, name)
				case len(but) == 0:
					o.Members = append(o.Members, wider...)
				default:
					o.Wide = append(o.Wide, Wide{wider, but})
				}
			}
			if _, err := log.Invalidate(t.Context(), o); err != nil {
				t.Fatal(err)
			}
		}
		for _, c := range copies {
			want := Valid
			if slices.Contains(gone, c) {
				want = Purged
			}
			if got := l.Check(stamps[c], members[c]); got != want {
				t.Errorf("after a flood of writes to %s the copy of %s is %v, want %v", write, c, got, want)
			}
		}
	}
}
