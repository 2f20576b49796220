package proxy

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"cacheproxy/invalidation"
	"cacheproxy/policy"
)

const raceKeys = 16

// versions is an origin that answers with the version a key had when the request arrived, some time later.
type versions struct{ at [raceKeys]atomic.Int64 }

func (v *versions) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	k, _ := strconv.Atoi(r.URL.Path[strings.LastIndexByte(r.URL.Path, '/')+1:])
	if r.Method == http.MethodPut {
		v.at[k].Add(1)
		w.WriteHeader(http.StatusNoContent)
		return
	}
	version := v.at[k].Load()
	<-time.After(time.Duration(20+rand.IntN(20)) * time.Millisecond) // the answer is under way
	w.Header().Set("Surrogate-Key", fmt.Sprintf("tag-%d", k))
	fmt.Fprint(w, version)
}

// TestNoReadAfterAcknowledgementIsOlder holds the first promise: no read that begins after a purge or a write was
// acknowledged sees what was there before it, while fills are in flight all the time.
func TestNoReadAfterAcknowledgementIsOlder(t *testing.T) {
	ways := map[string]func(r *rig, v *versions, k int) error{
		"key": func(r *rig, v *versions, k int) error {
			v.at[k].Add(1)
			_, err := r.log.Invalidate(t.Context(), invalidation.Order{Members: []policy.Member{key(fmt.Sprintf("v:%d", k))}})
			return err
		},
		"tag": func(r *rig, v *versions, k int) error {
			v.at[k].Add(1)
			_, err := r.log.Invalidate(t.Context(), invalidation.Order{Members: []policy.Member{tag(fmt.Sprintf("tag-%d", k))}})
			return err
		},
		"url": func(r *rig, v *versions, k int) error {
			v.at[k].Add(1)
			_, err := r.log.Invalidate(t.Context(), invalidation.Order{Members: policy.URLMembers("", fmt.Sprintf("/v/%d", k), "", false)})
			return err
		},
		"write": func(r *rig, v *versions, k int) error {
			_, err := r.try("PUT", fmt.Sprintf("/v/%d", k), nil)
			return err
		},
	}
	for name, change := range ways {
		t.Run(name, func(t *testing.T) {
			v := &versions{}
			r := newRig(t, v.ServeHTTP, rigOptions{}, routeFor(t, "v", func(r *policy.Route) {
				r.Key = template(t, "v:{k}")
				if name == "write" {
					r.Policy = policy.WriteThrough
				}
			}, "GET /v/{k}", "PUT /v/{k}"))
			stale, hits, reads := race(t, r, func(k int) error { return change(r, v, k) }, v)
			if stale > 0 {
				t.Errorf("%d of %d reads were stale", stale, reads)
			}
			if hits*100 < reads*30 {
				t.Errorf("%d of %d reads were hits, want 30 %% at least", hits, reads)
			}
			t.Logf("%d reads, %d hits, %d stale", reads, hits, stale)
		})
	}
}

// race reads with 32 clients while a key is changed every 30 ms. Each is changed twice in a row: the second change finds the
// fetch under way that followed the first.
func race(t *testing.T, r *rig, change func(k int) error, v *versions) (stale, hits, reads int64) {
	var acked [raceKeys]atomic.Int64 // the version that reads must see at least
	var staleReads, hitReads, allReads atomic.Int64
	stop := make(chan struct{})
	var readers sync.WaitGroup
	for range 32 {
		readers.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				k := rand.IntN(raceKeys)
				least := acked[k].Load()
				a, err := r.try("GET", fmt.Sprintf("/v/%d", k), nil)
				if err != nil || a.status != 200 {
					t.Errorf("read: %d %v", a.status, err)
					return
				}
				got, _ := strconv.ParseInt(a.body, 10, 64)
				allReads.Add(1)
				if got < least {
					staleReads.Add(1)
				}
				if strings.Contains(a.header.Get("Cache-Status"), "; hit") {
					hitReads.Add(1)
				}
			}
		})
	}
	ticker := time.NewTicker(30 * time.Millisecond)
	defer ticker.Stop()
	for i := range unlessRace(120) {
		<-ticker.C
		k := i / 2 % raceKeys
		if err := change(k); err != nil {
			t.Errorf("change: %v", err)
		}
		acked[k].Store(v.at[k].Load())
	}
	close(stop)
	readers.Wait()
	return staleReads.Load(), hitReads.Load(), allReads.Load()
}
