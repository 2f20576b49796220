package fleet

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"cacheproxy/test/servers"
)

// exclusive is an origin that cannot take two writes of one key: it notes how many of one path were at work at once.
type exclusive struct {
	mu    sync.Mutex
	there map[string]int // guarded by mu
	most  int            // guarded by mu
	came  atomic.Int64
	stuck chan struct{} // a write of /k/stuck ends when it is closed
	began chan struct{} // receives when one of these begins
}

func (o *exclusive) ServeHTTP(_ http.ResponseWriter, r *http.Request) {
	o.came.Add(1)
	o.mu.Lock()
	o.there[r.URL.Path]++
	o.most = max(o.most, o.there[r.URL.Path])
	o.mu.Unlock()
	if r.URL.Path == "/k/stuck" {
		o.began <- struct{}{}
		select {
		case <-o.stuck:
		case <-r.Context().Done(): // whoever sent it is gone
		}
	} else {
		<-time.After(10 * time.Millisecond)
	}
	o.mu.Lock()
	o.there[r.URL.Path]--
	o.mu.Unlock()
}

// Writes of one key through three instances are at the origin at once without serialize_writes, and never with it: not when all are well, nor
// when the instance that makes one is killed, whose lock then runs out.
func TestSerializedWrites(t *testing.T) {
	sideBySide(t)
	valkey := servers.Valkey(t, servers.ValkeyOptions{})
	dir := t.TempDir()
	for _, c := range []struct {
		name, key string
		alone     bool
	}{{"with", "serialize_writes: true", true}, {"without", "mode: on", false}} {
		t.Run(c.name, func(t *testing.T) {
			o := &exclusive{there: map[string]int{}, stuck: make(chan struct{}), began: make(chan struct{}, 8)}
			back := httptest.NewServer(o)
			t.Cleanup(back.Close)
			var members []*Member
			for i := range 3 {
				m, err := Start(t.Context(), fmt.Sprint(c.name, i), Settings{
					Binary: binary, Dir: dir, Origin: back.URL, Valkey: valkey.Address(), Lease: time.Second,
					Routes: "\n  - {name: item, match: [\"GET /k/{id}\", \"PUT /k/{id}\"], policy: write-through, " + c.key + "}\n",
				})
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { _ = m.Close() })
				members = append(members, m)
			}
			var all sync.WaitGroup
			for i := range 60 {
				all.Go(func() {
					if status, err := put(t.Context(), members[i%3], fmt.Sprintf("/k/%d", i%2)); status != 200 || err != nil {
						t.Errorf("write %d: %d %v", i, status, err)
					}
				})
			}
			all.Wait()
			if o.most > 1 == c.alone || o.came.Load() != 60 {
				t.Errorf("%d writes of one key at once, %d in all", o.most, o.came.Load())
			}
			if c.alone {
				killHolder(t, o, members)
			}
		})
	}
}

// killHolder kills the instance that makes a write while another waits, which goes on when the lock has run out and not before.
func killHolder(t *testing.T, o *exclusive, members []*Member) {
	var writes sync.WaitGroup
	writes.Go(func() { _, _ = put(t.Context(), members[0], "/k/stuck") }) // its instance dies
	<-o.began
	start := time.Now()
	writes.Go(func() {
		if status, err := put(t.Context(), members[1], "/k/stuck"); status != 200 || err != nil {
			t.Errorf("the next: %d %v", status, err)
		}
	})
	for ; ; <-time.After(10 * time.Millisecond) {
		if time.Since(start) > 10*time.Second {
			t.Fatal("the second write of the key does not wait")
		}
		if waiting, err := members[1].now().Gauge(t.Context(), "cacheproxy_serialized_writes_waiting"); err != nil {
			t.Fatal(err)
		} else if waiting == 1 {
			break
		}
	}
	if err := members[0].Kill(); err != nil {
		t.Fatal(err)
	}
	select {
	case <-o.began:
	case <-time.After(30 * time.Second):
		t.Fatal("the next write of the key does not go on")
	}
	if took := time.Since(start); took < 3*time.Second {
		t.Errorf("the next write went on after %v, before the lock of the one that was killed had run out", took)
	}
	close(o.stuck)
	writes.Wait()
	if o.most != 1 {
		t.Errorf("%d writes of one key at once", o.most)
	}
}

func put(ctx context.Context, m *Member, path string) (status int, err error) {
	url, _ := m.Data()
	r, err := http.NewRequestWithContext(ctx, http.MethodPut, url+path, http.NoBody)
	if err != nil {
		return 0, err
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0, err
	}
	return res.StatusCode, res.Body.Close()
}
