package fleet

import (
	"context"
	"testing"
	"time"

	"cacheproxy/test/servers"
	"cacheproxy/test/system/promise"
)

// places is what all instances together may have at the origin.
const places = 12

// sharedRoutes send everything to the origin.
const sharedRoutes = `
  - {name: all, match: "GET /v/{id}", policy: bypass}
`

// What instances may have at the origin together is never exceeded while they come, go and die, and while the server that tells
// them of each other comes back empty; and it is made use of.
func TestOriginIsShared(t *testing.T) {
	sideBySide(t)
	r := &rig{valkey: servers.Valkey(t, servers.ValkeyOptions{Program: *program})}
	origin, err := NewOrigin(100, 20, 5*time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = origin.Close() })
	r.Load = &Load{Origin: origin, Check: promise.NewCheck(100), Keys: 100, Readers: 60}
	r.Members = members(t, 3, Settings{
		Binary: binary, Dir: t.TempDir(), Origin: origin.URL(), Valkey: r.valkey.Address(), Lease: lease,
		MoreUpstream: ", max_in_flight: 12, fleet_max_in_flight: 12", Routes: sharedRoutes,
	})
	last := r.Members[2]
	do := func(f func() error) func(context.Context) error { return func(context.Context) error { return f() } }
	steps := []struct {
		name string
		do   func(context.Context) error
	}{
		{"three", do(func() error { return nil })},
		{"one leaves", do(last.Stop)},
		{"one joins", last.Restart},
		{"one dies", do(last.Kill)},
		{"one joins again", last.Restart},
		{"the server comes back empty", func(ctx context.Context) error {
			r.valkey.Kill()
			pause(ctx, 2*lease)
			return r.valkey.Start(context.WithoutCancel(ctx))
		}},
	}
	r.load(t, func(ctx context.Context) {
		for _, s := range steps {
			if err := s.do(ctx); err != nil {
				t.Fatal(err)
			}
			pause(ctx, 4*lease) // by then all know of it
			change, _ := origin.Most()
			pause(ctx, lease/2)
			steady, _ := origin.Most()
			t.Logf("%s: at most %d at once meanwhile, %d in the end", s.name, change, steady)
			if change > places || steady > places {
				t.Errorf("%s: %d and then %d requests at the origin at once, and %d are allowed", s.name, change, steady, places)
			}
			if steady < places-1 { // what does not divide is left over: 12 do by two and three
				t.Errorf("%s: %d requests at the origin at once, and %d are allowed", s.name, steady, places)
			}
		}
	})
}
