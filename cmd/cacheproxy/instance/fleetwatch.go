package instance

import (
	"context"
	"time"

	"cacheproxy/observe"
)

// watch looks at the lease and at who is there until ctx ends, and tells count how many instances are live whenever that
// changes.
func (f *fleet) watch(ctx context.Context, count func(instances int)) error {
	tick := time.NewTicker(look)
	defer tick.Stop()
	held, history, heads := false, "", newHeadcount(f.silence())
	for {
		held = f.watchLease(held)
		history = f.watchHistory(history)
		f.watchInstances(&heads, count)
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// watchLease tells of a lease that came or went since it was last looked at.
func (f *fleet) watchLease(held bool) bool {
	holds := f.leased(time.Now())
	switch {
	case held && !holds:
		f.lapsed.Add(1)
		f.log.Warn("lease lapsed: there is no news of purges, and copies are used only where on_lease_loss allows it", "server", f.settings.Shown())
	case !held && holds:
		f.log.Info("lease held: copies are used", "server", f.settings.Shown())
	}
	return holds
}

// watchHistory has copies written to a server that has lost them with the log.
func (f *fleet) watchHistory(before string) string {
	now := f.entries.State().History
	if before != "" && now != before {
		f.log.Warn("Valkey has lost its data; what was invalidated lately and copies that are read are written again", "server", f.settings.Shown())
		f.onEmpty()
	}
	return now
}

// watchInstances tells how many instances count when it is not what it was.
func (f *fleet) watchInstances(heads *headcount, count func(int)) {
	before, live := heads.counted, f.entries.Instances()
	if now := heads.see(live, time.Now()); now != before {
		f.log.Info("instances that share what upstreams may have at work", "instances", now, "before", before)
		count(now)
	}
}

// gauges is what metrics show.
func (f *fleet) gauges() observe.FleetGauges {
	s := f.entries.State()
	lag := s.Lag
	if lag < 0 {
		lag = time.Since(started) // it never had anything
	}
	return observe.FleetGauges{
		Lag: lag, Lease: f.leased(time.Now()), Lapsed: f.lapsed.Load(), Instances: len(s.Instances),
		Position: s.Position, Floor: s.Floor, Pending: s.Pending,
	}
}

// fleetView is what operators see of it, with the configuration.
type fleetView struct {
	Instance  string   `json:"instance"`
	Connected bool     `json:"connected"`
	Lease     bool     `json:"lease"`
	History   string   `json:"history"`
	Position  uint64   `json:"position"`
	Behind    uint64   `json:"behind"`
	Contact   string   `json:"last_contact,omitempty"` // how long ago; empty: never
	Instances []string `json:"instances"`
	Floor     uint64   `json:"floor"`
	Members   int      `json:"members"`
	Pending   int      `json:"pending"`
}

// view is nil for a process that runs alone.
func (f *fleet) view() *fleetView {
	if f == nil {
		return nil
	}
	s := f.entries.State()
	v := &fleetView{
		Instance: f.name, Connected: s.Connected, Lease: f.leased(time.Now()), History: s.History, Position: s.Position, Behind: s.Behind,
		Instances: append([]string{}, s.Instances...), Floor: s.Floor, Members: s.Members, Pending: s.Pending,
	}
	if s.Contact >= 0 {
		v.Contact = s.Contact.Round(time.Millisecond).String()
	}
	return v
}
