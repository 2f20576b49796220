package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"time"

	"cacheproxy/cmd/cacheproxy/demo"
	"cacheproxy/test/system/bench"
)

// editing is the result of the edits of one load.
type editing struct {
	edits    int
	stale    int // reads after an acknowledged purge that did not show the edit
	p50, p99 time.Duration
}

// editor changes prices at the shop, purges the product, and then reads the product through the proxy to check the
// edit.
type editor struct {
	proxy      *cacheproxy
	origin     string
	popularity bench.Zipf
	perSecond  float64
	seed       uint64
}

// run edits until ctx ends. Every edit is finished: the edit, its purge and its read do not end with ctx.
func (e editor) run(ctx context.Context) (editing, error) {
	random := rand.New(rand.NewPCG(e.seed, 11))
	next := time.NewTicker(time.Duration(float64(time.Second) / e.perSecond))
	defer next.Stop()
	var done editing
	var took []time.Duration
	for price := int64(100_000); ; price++ { // above any seeded price, and each price once
		select {
		case <-ctx.Done():
			slices.Sort(took)
			done.p50, done.p99 = bench.Percentile(took, 50), bench.Percentile(took, 99)
			return done, nil
		case <-next.C:
		}
		edit, cancel := context.WithTimeout(context.WithoutCancel(ctx), 20*time.Second)
		purged, fresh, err := e.edit(edit, e.popularity.Draw(random), price)
		cancel()
		if err != nil {
			return editing{}, err
		}
		done.edits++
		took = append(took, purged)
		if !fresh {
			done.stale++
		}
	}
}

// edit returns the duration of the purge, and whether the read afterwards had the new price.
func (e editor) edit(ctx context.Context, id int, price int64) (purged time.Duration, fresh bool, err error) {
	if err := e.patch(ctx, id, price); err != nil {
		return 0, false, err
	}
	started := time.Now()
	if err := e.proxy.purge(ctx, id); err != nil {
		return 0, false, err
	}
	purged = time.Since(started)
	body, err := get(ctx, e.proxy.client, fmt.Sprintf("%s/products/%d", e.proxy.URL, id))
	if err != nil {
		return 0, false, fmt.Errorf("read edited product: %w", err)
	}
	var p demo.Product
	if err := json.Unmarshal(body, &p); err != nil {
		return 0, false, fmt.Errorf("read edited product: %w", err)
	}
	return purged, p.Price.AmountCents == price, nil
}

func (e editor) patch(ctx context.Context, id int, price int64) error {
	body := strings.NewReader(fmt.Sprintf(`{"amount_cents":%d}`, price))
	request, err := http.NewRequestWithContext(ctx, http.MethodPatch, fmt.Sprintf("%s/products/%d", e.origin, id), body)
	if err != nil {
		return fmt.Errorf("edit product %d: %w", id, err)
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := e.proxy.client.Do(request)
	if err != nil {
		return fmt.Errorf("edit product %d: %w", id, err)
	}
	defer response.Body.Close()
	if _, err := io.Copy(io.Discard, response.Body); err != nil {
		return fmt.Errorf("edit product %d: %w", id, err)
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("edit product %d: %s", id, response.Status)
	}
	return nil
}
