package store

import (
	"bytes"
	"fmt"
	"net/http"
	"runtime"
	"strconv"
	"testing"
	"time"

	"cacheproxy/invalidation"
	"cacheproxy/policy"
	"cacheproxy/policy/httpcache"
	"cacheproxy/store/slab"
)

// mostBeside is what a copy may take beside its head and body, in bytes.
const mostBeside = 300

// part is what something takes of a copy, on average.
type part struct {
	name  string
	bytes float64
}

// What a copy takes beside its head and body, part by part: go test ./store -run TestBytesBesideHeadAndBody -v.
func TestBytesBesideHeadAndBody(t *testing.T) {
	const copies = 20_000
	for about, names := range map[string]int{"as a route with a key and five tags names it": 0, "of sixteen names": 16} {
		m := NewMemory(1 << 30)
		for i := range copies {
			c, key := answered(i, names)
			m.Set(key, c)
			c.Release()
		}
		tb := m.table
		each := func(total int64) float64 { return float64(total) / copies }
		var key, shared, own, rounding, asked, wide int64
		var of int
		for e := range tb.all() {
			c := copyOf(e)
			prefix, rest := tb.key(e)
			of = len(prefix) + len(rest)
			key += int64(len(rest))
			own += wordSize * int64(len(c.packed.ownNames(c)))
			shared += int64(len(c.Members()) - len(c.packed.ownNames(c)))
			asked += int64(len(c.Asked()))
			rounding += int64(slab.Rounded(e.size()) - e.size())
			if c.packed.flags&flagWide != 0 {
				wide++
			}
		}
		parts := []part{
			{"links of the table and the queues", float64(entrySize)},
			{"stamp: two positions of the ledger", 16}, {"digest", 8}, {"use: reads, failures, references", 24}, {"serial number", 4},
			{"lifetime, lengths, numbers of family, list and room", float64(copySize) - 16 - 8 - 24 - 4},
			{fmt.Sprintf("%.1f names of its own, beside %.1f of its family", each(own)/wordSize, each(shared)), each(own)},
			{fmt.Sprintf("key of %d bytes, without what the family has", of), each(key)},
			{"what its request said of the answer that it wants", each(asked)},
			{"rounding of blocks", each(rounding)},
			{"place in the table and among the ghosts", entryOverhead},
		}
		total := 0.0
		for _, p := range parts {
			total += p.bytes
			t.Logf("%-60s %6.1f", p.name, p.bytes)
		}
		heads := int64(0)
		for e := range tb.all() {
			heads += int64(len(copyOf(e).Head()) + len(copyOf(e).Body()))
		}
		counted := each(m.Bytes() - heads)
		t.Logf("%-60s %6.1f, counted %.1f", "together, "+about, total, counted)
		if wide > 0 || counted > mostBeside || total < counted-1 || total > counted+1 {
			t.Errorf("%s: a copy takes %.1f bytes beside head and body, and its parts %.1f, want %d at most; %d do not fit where they should", about, counted, total, mostBeside, wide)
		}
		if n := tb.room.families.made; n == 0 || n > 50 {
			t.Errorf("%s: there are %d families of copies in one folder", about, n)
		}
		runtime.KeepAlive(m)
	}
}

// answered is a copy of /v2/products/{id} as an API answers it: named as its route says and by five tags; or by so many names, of which all
// but the two of the route are its own.
func answered(i, names int) (c *Copy, key string) {
	path := "/v2/products/" + strconv.Itoa(100_000+i)
	target := httpcache.Target{Scheme: "http", Host: "api.example.org", Path: path}
	r := &policy.Route{Name: "products", Fingerprint: 0x1122334455667788}
	key = string(r.AppendKey(nil, target, target.Host, "", http.Header{}))
	tags := fmt.Sprintf("product-%d category-%d category-%d brand-%d price-list-3", i, i%97, i%89, i%31)
	header := http.Header{
		"Cache-Control": {"public, max-age=300"}, "Content-Type": {"application/json; charset=utf-8"}, "Date": {"Fri, 02 Jan 2026 03:04:05 GMT"},
		"Etag": {`"5d8c72a5edda` + strconv.Itoa(i) + `"`}, "Surrogate-Key": {tags},
	}
	members := r.Members(&policy.Match{}, target, "", http.Header{}, header)
	members = append(members, policy.NewMember(policy.KindKey, strconv.Itoa(i)))
	if names > 0 {
		members = []policy.Member{policy.All, policy.NewMember(policy.KindRoute, r.Name)}
		for len(members) < names {
			members = append(members, policy.NewMember(policy.KindTag, fmt.Sprint("tag-", i, "-", len(members))))
		}
	}
	header.Del("Surrogate-Key")
	c = NewCopy(200, header, bytes.Repeat([]byte{byte(i), 1}, 200+i%1800)) // bodies of 400 bytes to 4 KB
	c.SetMembers(invalidation.IDsOf(members))
	c.SetVary([]string{"Accept"})
	c.SetAsked("Accept: application/json")
	now := time.Now()
	life := httpcache.Lifetime{Date: now.Truncate(time.Second), Received: now, InitialAge: 3456789, Fresh: 5 * time.Minute, StaleIfError: 24 * time.Hour}
	life.Keep = life.WorthKeeping(true)
	c.SetLife(life)
	return c, key
}
