package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
)

// warmClients is the number of clients of a warm-up.
const warmClients = 16

// copyAge is a copy to make, and its wanted age at the end of the warm-up.
type copyAge struct {
	id      int
	seconds float64
}

// warmUp brings the proxy into the state of a cache that has served this workload for ever. Each product has a copy
// with the probability of the steady state, and copies have the ages of the steady state. warmUp requests each of these
// products once, and returns the number of copies.
func warmUp(ctx context.Context, p *cacheproxy, o *origin, w workload, seed uint64) (int, error) {
	copies := steadyCopies(w, rand.New(rand.NewPCG(seed, 7)))
	ages := make([]atomic.Int64, 1+w.popularity.Products())
	o.ages.Store(&ages)
	defer o.ages.Store(nil)

	client := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: warmClients}}
	defer client.CloseIdleConnections()
	group, ctx := errgroup.WithContext(ctx)
	started := time.Now()
	for n := range warmClients {
		group.Go(func() error {
			for i := n; i < len(copies); i += warmClients {
				ages[copies[i].id].Store(ageNow(copies[i].seconds, time.Since(started), i, len(copies)))
				if _, err := get(ctx, client, fmt.Sprintf("%s/products/%d", p.URL, copies[i].id)); err != nil {
					return fmt.Errorf("warm up: %w", err)
				}
			}
			return nil
		})
	}
	return len(copies), group.Wait()
}

// steadyCopies draws the copies of the steady state, the oldest last. The oldest copies expire while the load is
// measured, and the less of the warm-up is left when a copy is made, the more exact its age is.
func steadyCopies(w workload, random *rand.Rand) []copyAge {
	var copies []copyAge
	for id := 1; id <= w.popularity.Products(); id++ {
		if random.Float64() < w.cached(id) {
			copies = append(copies, copyAge{id, w.age(id, random)})
		}
	}
	slices.SortFunc(copies, func(a, b copyAge) int { return cmp.Compare(a.seconds, b.seconds) })
	return copies
}

// ageNow is the Age, in seconds, that a copy made now needs for the wanted age at the end of the warm-up. The end is
// estimated from the copies made, of all, in the elapsed time.
func ageNow(wanted float64, elapsed time.Duration, made, all int) int64 {
	if made == 0 {
		return int64(wanted)
	}
	left := elapsed.Seconds() * float64(all-made) / float64(made)
	return max(0, int64(wanted-left))
}

// get returns the body of a 200 answer.
func get(ctx context.Context, client *http.Client, url string) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	response, err := client.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, fmt.Errorf("get %s: %w", url, err)
	}
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("get %s: %s", url, response.Status)
	}
	return body, nil
}
