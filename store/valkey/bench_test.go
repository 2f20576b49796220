package valkey

import (
	"fmt"
	"net/http"
	"strconv"
	"testing"
	"time"

	"cacheproxy/invalidation"
	"cacheproxy/policy"
	"cacheproxy/policy/httpcache"
	"cacheproxy/store"
	"cacheproxy/test/products"
)

const benchProducts = 1000

// product is a copy of a product of the sample shop, with the header and the members that it has behind the proxy, and its
// storage key.
func product(id int64) (key string, c *store.Copy) {
	body := products.Sample(id, 10)
	c = store.NewCopy(200, http.Header{
		"Content-Type": {"application/json"}, "Cache-Control": {"public, max-age=3600"}, "Content-Length": {strconv.Itoa(len(body))},
		"Date": {"Fri, 02 Jan 2026 03:04:05 GMT"}, "Etag": {fmt.Sprintf(`"%016x"`, store.Digest(200, body))},
	}, body)
	c.SetLife(httpcache.Lifetime{Date: time.Now().Truncate(time.Second), Received: time.Now(), Fresh: time.Hour, Keep: 2 * time.Hour})
	c.SetMembers(invalidation.IDsOf([]policy.Member{
		"a", "rproducts", policy.Member(fmt.Sprintf("kproduct:%d", id)), policy.Member(fmt.Sprintf("tproduct:%d", id)),
		policy.Member(fmt.Sprintf("tcategory:%d", 21+id%400)), policy.Member(fmt.Sprintf("u/products/%d", id)), "p/", "p/products/",
	}))
	return fmt.Sprintf("12345678\x04http\x0cshop.example\x0f/products/%d\x00\x00", id), c
}

// BenchmarkForm measures how long a copy of a product is on the server, beside the 42 bytes of its key there and what the
// server needs for both, and what writing and reading it costs.
func BenchmarkForm(b *testing.B) {
	for about, pack := range map[string]bool{"plain": false, "zstd": true} {
		var keys []string
		var copies []*store.Copy
		var values [][]byte
		bodies, total := 0, 0
		for id := range int64(benchProducts) {
			key, c := product(id + 1)
			value, err := encode(key, c, shared, pack, nil)
			if err != nil {
				b.Fatal(err)
			}
			keys, copies, values = append(keys, key), append(copies, c), append(values, value)
			bodies, total = bodies+len(c.Body()), total+len(value)
		}
		report := func(b *testing.B) {
			b.ReportMetric(float64(bodies)/benchProducts, "B/body")
			b.ReportMetric(float64(total)/benchProducts, "B/copy")
		}
		b.Run("encode/"+about, func(b *testing.B) {
			b.ReportAllocs()
			for n := 0; b.Loop(); n++ {
				if _, err := encode(keys[n%benchProducts], copies[n%benchProducts], shared, pack, nil); err != nil {
					b.Fatal(err)
				}
			}
			report(b)
		})
		b.Run("decode/"+about, func(b *testing.B) {
			b.ReportAllocs()
			for n := 0; b.Loop(); n++ {
				if _, _, err := decoded(values[n%benchProducts], keys[n%benchProducts], most); err != nil {
					b.Fatal(err)
				}
			}
			report(b)
		})
	}
}

// BenchmarkServer measures what the server's memory holds for each product, and a read from it over the loopback interface.
func BenchmarkServer(b *testing.B) {
	for about, pack := range map[string]bool{"plain": false, "zstd": true} {
		b.Run(about, func(b *testing.B) {
			_, s := alone(b, "")
			o := options(connect(b, s), following(9))
			o.Compress = pack
			a := tier(b, o)
			var keys []string
			before, err := a.Stats(b.Context())
			if err != nil {
				b.Fatal(err)
			}
			for id := range int64(benchProducts) {
				key, c := product(id + 1)
				if err := a.Put(b.Context(), key, c); err != nil {
					b.Fatal(err)
				}
				keys = append(keys, key)
			}
			after, err := a.Stats(b.Context())
			if err != nil || after.Entries != benchProducts {
				b.Fatal(after, err)
			}
			b.ReportAllocs()
			for n := 0; b.Loop(); n++ {
				if item, err := a.Get(b.Context(), keys[n%benchProducts]); err != nil || item == nil {
					b.Fatal(item, err)
				}
			}
			b.ReportMetric(float64(after.Bytes-before.Bytes)/benchProducts, "B/copy")
		})
	}
}

// BenchmarkDown measures what a request pays for a tier that does not answer.
func BenchmarkDown(b *testing.B) {
	_, s := alone(b, "")
	a := New(options(connect(b, s), following(9)))
	for range tripAfter {
		a.breaker.fail()
	}
	b.ReportAllocs()
	for b.Loop() {
		if item, err := a.Get(b.Context(), "key"); item != nil || err == nil {
			b.Fatal("it gives something")
		}
	}
}
