package main

import (
	"testing"
	"time"
)

func TestSpread(t *testing.T) {
	for _, c := range []struct {
		values []float64
		want   spread
	}{
		{nil, spread{}},
		{[]float64{7}, spread{7, 7, 7}},
		{[]float64{9, 1, 5}, spread{5, 1, 9}},
		{[]float64{4, 1, 2, 30}, spread{3, 1, 30}},
	} {
		if got := spreadOf(c.values); got != c.want {
			t.Errorf("%v: %+v, want %+v", c.values, got, c.want)
		}
	}
	values := []float64{3, 1, 2}
	spreadOf(values)
	if values[0] != 3 {
		t.Error("the values were put in another order")
	}
}

func TestRatioOfNothing(t *testing.T) {
	if got := ratio(3, 0); got != 0 {
		t.Errorf("ratio to nothing is %v, want 0", got)
	}
	if got := ratio(3, 2); got != 1.5 {
		t.Errorf("ratio is %v, want 1.5", got)
	}
}

func TestRowTakesMediansOfWhatWentWell(t *testing.T) {
	var r report
	r.add(load{name: "hit"}, []run{
		{Peer: ours, Heads: realistic, Rate: 100, CPU: 20},
		{Peer: ours, Heads: realistic, Rate: 300, CPU: 40},
		{Peer: ours, Heads: realistic, Rate: 200, CPU: 30},
		{Peer: ours, Heads: realistic, Rate: 9000, CPU: 1, Error: "all of it reached the origin"},
		{Peer: ours, Heads: constants, Rate: 400, CPU: 10},
		{Peer: "nginx", Heads: realistic, Rate: 500, CPU: 15},
		{Peer: "Varnish", Heads: realistic, Error: "it did not start"},
	})
	w := r.Rows[0]
	got, ok := w.find(ours, realistic)
	if want := (spread{30, 20, 40}); !ok || got.CPU != want || got.Rate.Median != 200 || len(got.Errors) != 1 {
		t.Errorf("cacheproxy: %+v, want CPU %+v, 200 requests/s and an error", got, want)
	}
	if got, _ := w.find(ours, constants); got.CPU.Median != 10 || got.Ratio != 1 {
		t.Errorf("cacheproxy with constant heads: %+v, want 10 µs and ratio 1", got)
	}
	if got, _ := w.find("nginx", realistic); got.Ratio != 2 {
		t.Errorf("nginx: ratio %v, want 2: the proxy takes twice as much", got.Ratio)
	}
	if got, _ := w.find("Varnish", realistic); got.Ratio != 0 || got.CPU != (spread{}) {
		t.Errorf("Varnish: %+v, want no figures", got)
	}
}

func TestLatencyIsOfWhatWasDueAfterTheBeginning(t *testing.T) {
	var requests []timed
	for i := range 3000 {
		requests = append(requests, timed{due: time.Duration(i) * time.Millisecond, took: time.Millisecond})
	}
	requests[10].took = time.Hour // a connection was being made
	requests[1500].failed, requests[1500].took = true, time.Hour
	requests[1600].took = 30 * time.Millisecond
	requests[1601].took = 40 * time.Millisecond
	got := summarize(requests, time.Second)
	want := latency{Requests: 2000, Failed: 1, P50: time.Millisecond, P99: time.Millisecond, P999: 30 * time.Millisecond, Longest: 40 * time.Millisecond}
	if got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	if got := summarize(nil, 0); got != (latency{}) {
		t.Errorf("of nothing: %+v", got)
	}
}

func TestShareOfTheOrigin(t *testing.T) {
	for _, c := range []struct {
		share              share
		requests, atOrigin int
		fits               bool
	}{
		{hits, 50_000, 0, true},
		{hits, 50_000, 50, true},
		{hits, 50_000, 64, false},
		{misses, 695, 759, true},
		{misses, 50_000, 40_000, false},
		{share{0.09, 0.11}, 1000, 0, false},
		{share{0.09, 0.11}, 1000, 150, true},
		{share{0.09, 0.11}, 1000, 1000, false},
	} {
		if got := c.share.fits(c.requests, c.atOrigin, 64); got != c.fits {
			t.Errorf("%v: of %d requests %d at the origin: fits %v, want %v", c.share, c.requests, c.atOrigin, got, c.fits)
		}
	}
}
