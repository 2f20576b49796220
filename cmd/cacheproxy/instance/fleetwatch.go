package instance

import (
	"context"
	"time"

	"cacheproxy/observe"
)

// watch looks at the lease and the live instances until ctx ends. count is called with the number of instances whenever
// that number changes.
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

// watchLease logs a change of the lease since the last look.
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

// watchHistory has copies written again to a server that has lost its log, and the copies with the log.
func (f *fleet) watchHistory(before string) string {
	now := f.entries.State().History
	if before != "" && now != before {
		f.log.Warn("Valkey has lost its data; what was invalidated lately and copies that are read are written again", "server", f.settings.Shown())
		f.onEmpty()
	}
	return now
}

// watchInstances reports the number of instances that count when the number has changed.
func (f *fleet) watchInstances(heads *headcount, count func(int)) {
	before, live := heads.counted, f.entries.Instances()
	if now := heads.see(live, time.Now()); now != before {
		f.log.Info("instances that share what upstreams may have at work", "instances", now, "before", before)
		count(now)
	}
}

// gauges is the state of the fleet for metrics.
func (f *fleet) gauges() observe.FleetGauges {
	s := f.entries.State()
	lag := s.Lag
	if lag < 0 {
		lag = time.Since(started) // the ledger was never up to date
	}
	return observe.FleetGauges{
		Lag: lag, Lease: f.leased(time.Now()), Lapsed: f.lapsed.Load(), Instances: len(s.Instances),
		Position: s.Position, Floor: s.Floor, Pending: s.Pending,
	}
}

// fleetView is the state of the fleet in GET /config.
type fleetView struct {
	Instance  string   `json:"instance"`
	Connected bool     `json:"connected"`
	Lease     bool     `json:"lease"`
	History   string   `json:"history"`
	Position  uint64   `json:"position"`
	Behind    uint64   `json:"behind"`
	Contact   string   `json:"last_contact,omitempty"` // time since the last contact; empty: never
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
