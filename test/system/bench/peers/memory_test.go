package main

import (
	"io"
	"strings"
	"testing"
	"time"
)

// Filling ends with the last object, or with the time for it, and tells how many objects there are then.
func TestFillingEndsInTime(t *testing.T) {
	of, err := startLimit(t.Context(), bareLoop, "")
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := of.process.Stop(); err != nil {
			t.Error(err)
		}
	}()
	s := &session{heads: map[string][]string{realistic: makeHeads(5, 1)}, progress: io.Discard}
	const endless = 1 << 40
	for _, c := range []struct {
		objects int
		within  time.Duration
	}{{1000, 0}, {1000, time.Hour}, {endless, 50 * time.Millisecond}} {
		before, err := count(t.Context(), of.address)
		if err != nil {
			t.Fatal(err)
		}
		filled, err := s.fillWithin(t.Context(), &bed{}, of, c.objects, c.within)
		if err != nil {
			t.Fatal(err)
		}
		after, err := count(t.Context(), of.address)
		if err != nil {
			t.Fatal(err)
		}
		if filled != after-before || filled <= 0 || c.objects != endless && filled != c.objects {
			t.Errorf("%d objects within %v: filled %d, asked for %d", c.objects, c.within, filled, after-before)
		}
	}
}

func TestMemoryTellsHowManyObjectsThereAre(t *testing.T) {
	var out strings.Builder
	err := printMemory(&out, []memoryRow{
		{Peer: ours, Wanted: 1000, Objects: 800, Seconds: 150, Empty: 10 << 20, Full: 30 << 20, Each: 26214},
		{Peer: "Varnish", Wanted: 1000, Error: "it did not start"},
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"for 1000 objects", "800", "150 s", "10 MiB", "30 MiB", "26214", "it did not start"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in it:\n%s", want, out.String())
		}
	}
}
