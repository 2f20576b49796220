package store

import (
	"bytes"
	"flag"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"cacheproxy/invalidation"
	"cacheproxy/policy"
	"cacheproxy/policy/httpcache"
)

var millionCopies = flag.Int("copies", 0, "how many copies TestMemoryOfCopies stores, twice; 0: it is skipped")

// TestMemoryOfCopies measures what copies take: go test ./store -run TestMemoryOfCopies -v -args -copies=1000000. It stores that many with
// bodies of 2 KiB, reads while it does, and then as many again, in the place of the first.
func TestMemoryOfCopies(t *testing.T) {
	n := *millionCopies
	if n == 0 {
		t.Skip("-copies says how many")
	}
	debug.SetGCPercent(50) // as the program has it, with this
	floor := make([]byte, 32<<20)
	resident := func() int64 { return statusOf(t, "VmRSS") }
	empty := resident()
	m := NewMemory(1 << 40)
	s := New(m)
	var heads, names int64
	put := func(i int) {
		c, key := asAnswered(i)
		heads, names = heads+int64(len(c.Head())), names+int64(len(c.Members()))
		s.Put(key, nil, c)
		c.Release()
	}
	fill := func(about string, from, to int) {
		began := time.Now()
		for i := from; i < to; i++ {
			put(i)
		}
		m.Settle()
		took := time.Since(began)
		have := int64(m.Entries())
		t.Logf("%s: %d copies of %.0f bytes of head, %.1f names; each %d bytes by the store's count, of which %d beside head and body; resident %d bytes each, %.2f of what is counted; %v a copy",
			about, have, float64(heads)/float64(to), float64(names)/float64(to), m.Bytes()/have, m.Bytes()/have-2048-heads/int64(to),
			(resident()-empty)/have, float64(resident()-empty)/float64(m.Bytes()), took/time.Duration(to-from))
	}
	fill("filled", 0, n)
	for range 3 {
		began := time.Now()
		runtime.GC()
		t.Logf("a full collection takes %v", time.Since(began))
	}
	m.Resize(m.Bytes() + m.Bytes()/1000)
	fill("churned", n, 2*n)
	var gc debug.GCStats
	gc.PauseQuantiles = make([]time.Duration, 5)
	debug.ReadGCStats(&gc)
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	t.Logf("%d collections, stops of %v (median) to %v, Go's heap %d MiB; at most resident %d MiB", gc.NumGC, gc.PauseQuantiles[2], slices.Max(gc.PauseQuantiles), stats.HeapAlloc>>20, statusOf(t, "VmHWM")>>20)
	var reads []time.Duration
	ledger, r := invalidation.NewLedger(), rand.New(rand.NewPCG(1, 2))
	at := time.Now()
	for range 1_000_000 {
		_, key := keyAndPath(n + r.IntN(n))
		began := time.Now()
		found := s.Lookup(key, nil, at)
		if found.Copy != nil {
			found.Copy.Usable(ledger, at)
		}
		found.Release()
		reads = append(reads, time.Since(began))
	}
	slices.Sort(reads)
	t.Logf("a look-up takes %v, 99.9 %% at most %v", reads[len(reads)/2], reads[len(reads)/1000*999])
	runtime.KeepAlive(m)
	runtime.KeepAlive(floor)
}

func keyAndPath(i int) (path, key string) {
	path = fmt.Sprintf("/v2/shops/%d/products/%d", i%1000, i)
	return path, "fingerprnthttp api.example.org " + path
}

// asAnswered is a copy as an API answers: a dozen lines of head, and three to sixteen names.
func asAnswered(i int) (c *Copy, key string) {
	path, key := keyAndPath(i)
	c = NewCopy(200, http.Header{
		"Cache-Control": {"public, max-age=300"}, "Content-Length": {"2048"}, "Content-Type": {"application/json; charset=utf-8"},
		"Date": {"Fri, 02 Jan 2026 03:04:05 GMT"}, "Etag": {`"5d8c72a5edda` + strconv.Itoa(i) + `"`}, "Last-Modified": {"Fri, 02 Jan 2026 03:04:05 GMT"},
		"X-Content-Type-Options": {"nosniff"}, "Strict-Transport-Security": {"max-age=31536000"}, "Vary": {"Origin"},
	}, bytes.Repeat([]byte{byte(i), 1}, 1024))
	members := []policy.Member{policy.All, "rproducts", policy.NewMember(policy.KindURL, "api.example.org"+path)}
	if i%14 > 0 {
		members = append(members, policy.NewMember(policy.KindKey, strconv.Itoa(i)))
		for at := 1; at < len(path) && len(members) < 3+i%14; at++ {
			if path[at] == '/' {
				members = append(members, policy.NewMember(policy.KindPrefix, "api.example.org"+path[:at]))
			}
		}
		for tag := 0; len(members) < 3+i%14; tag++ {
			members = append(members, policy.NewMember(policy.KindTag, fmt.Sprintf("category-%d", (i*7+tag*13)%5000)))
		}
	}
	c.SetMembers(invalidation.IDsOf(members))
	now := time.Now()
	life := httpcache.Lifetime{Date: now.Truncate(time.Second), Received: now, InitialAge: 12345 * time.Microsecond, Fresh: 5 * time.Minute}
	life.Keep = life.WorthKeeping(true)
	c.SetLife(life)
	return c, key
}

// statusOf is a line of /proc/self/status, in bytes.
func statusOf(t *testing.T, name string) int64 {
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Skip(err)
	}
	for line := range strings.Lines(string(text)) {
		if f := strings.Fields(line); len(f) > 1 && f[0] == name+":" {
			n, _ := strconv.ParseInt(f[1], 10, 64)
			return n << 10
		}
	}
	return 0
}
