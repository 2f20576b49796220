package fill

import (
	"fmt"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"cacheproxy/invalidation"
	"cacheproxy/store"
)

// BenchmarkMissesOfDistinctKeys is what requests that miss different keys cost each other: the flight, the second look into the
// store and the copying of headers, without an origin.
func BenchmarkMissesOfDistinctKeys(b *testing.B) {
	memory := store.New(store.NewMemory(64 << 20))
	fs := &flights{}
	fs.init(invalidation.NewLedger(), func(f *flight, q *Request) Response {
		fs.send(f)
		f.publish(Response{}, false)
		return Response{}
	})
	var ts tasks
	ts.keep()
	defer ts.Close()
	header := http.Header{}
	for i := range 20 {
		header[fmt.Sprintf("X-Field-%d", i)] = []string{"some value of usual length"}
	}
	var n atomic.Int64
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			key := fmt.Sprint("key ", n.Add(1))
			t, lead := fs.join(Joiner{Key: key, MaxWaiters: 100})
			memory.Lookup(key, header, time.Now())
			_ = header.Clone()
			lead <- &Request{Header: header.Clone()}
			results := make(chan result, 1)
			ts.spawn(func() { fs.ask(t.flight, results) })
			<-results
		}
	})
}
