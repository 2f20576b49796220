package instance

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"cacheproxy/config"
	durable "cacheproxy/durable/valkey"
	"cacheproxy/invalidation/valkey"
	"cacheproxy/leaderboard"
	"cacheproxy/leaderboard/api"
	"cacheproxy/observe"
	"cacheproxy/proxy"

	kept "cacheproxy/leaderboard/valkey"
)

// measureEvery is the time between measurements of the boards' memory.
const measureEvery = 30 * time.Second

// boards are the records of boards, and the desk that answers requests. A nil *boards belongs to an instance without
// records.
type boards struct {
	desk        *api.Desk
	records     *kept.Records      // nil: the boards are in this process
	connection  *valkey.Connection // to the server of records; nil likewise
	certificate clientCertificate
	metrics     *observe.Leaderboard
	held        atomic.Pointer[observe.HeldBoards]
	i           *Instance
}

// newBoards makes the boards where the configuration has a server for them or a route that needs one. newBoards dials
// nothing.
func newBoards(i *Instance) *boards {
	r := i.snapshot.Records
	if r == nil || !r.Apart && len(i.snapshot.Boards) == 0 {
		return nil
	}
	b := &boards{i: i}
	b.held.Store(new(observe.HeldBoards)) // empty, until measured
	b.metrics = i.metrics.Leaderboard(b.held.Load)
	if r.Memory {
		b.desk = api.NewDesk(nil, r.Timeout)
		return b
	}
	b.connection = valkey.NewConnection(b.certificate.of(r.Server), 0)
	b.records = kept.New(kept.Options{Connection: b.connection, Prefix: r.Prefix, Timeout: r.Timeout, Rules: b.rules})
	b.desk = api.NewDesk(b.records, r.Timeout)
	return b
}

// present sets the client certificate for new connections to the server.
func (b *boards) present(r *config.Records) {
	if b != nil && r != nil {
		b.certificate.present(r.Server)
	}
}

// giveTo lets a proxy answer for boards.
func (b *boards) giveTo(o *proxy.Options) {
	if b != nil {
		o.Boards, o.BoardMetrics = b.desk, b.metrics
	}
}

// rules lists the rules of the routes in force.
func (b *boards) rules() (all []*leaderboard.Rules) {
	now := b.i.generations.current.Load().Boards
	for _, name := range slices.Sorted(maps.Keys(now)) {
		all = append(all, now[name].Rules)
	}
	return all
}

// run keeps the connection and the records, and measures, until ctx ends.
func (b *boards) run(ctx context.Context) error {
	var parts sync.WaitGroup
	if b.records != nil {
		parts.Go(func() { _ = b.connection.Run(ctx) }) // both return when ctx ends
		parts.Go(func() { _ = b.records.Run(ctx) })
	}
	tick := time.NewTicker(measureEvery)
	defer tick.Stop()
	for ctx.Err() == nil {
		b.measure(ctx)
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
	parts.Wait()
	return nil
}

// measure measures the boards. The last values of a route stay while the server does not answer.
func (b *boards) measure(ctx context.Context) {
	now := &observe.HeldBoards{Boards: map[string]int{}, Bytes: map[string]int64{}}
	before := b.held.Load()
	for _, rules := range b.rules() {
		b.metrics.Route(rules.Route)
		if b.records == nil {
			continue
		}
		n, bytes, err := b.records.Measure(ctx, rules)
		if err != nil {
			if _, known := before.Boards[rules.Route]; !known {
				continue
			}
			n, bytes = before.Boards[rules.Route], before.Bytes[rules.Route]
		}
		now.Boards[rules.Route], now.Bytes[rules.Route] = n, bytes
	}
	b.held.Store(now)
}

// fits fails where the server cannot keep the promises of a configuration's routes. A server that does not answer may
// turn out to keep them. Until the server answers, no submission is acknowledged.
func (b *boards) fits(ctx context.Context, s *config.Snapshot) error {
	if len(s.Boards) == 0 {
		return nil
	}
	if b == nil {
		return errors.New("a route has policy: leaderboard, which needs a restart with records, or with such a route and valkey")
	}
	if b.records == nil {
		return nil
	}
	if err := b.connection.Connect(); err != nil {
		b.i.log.Warn("the server of records cannot be asked whether it keeps what is written there; until it answers no submission is acknowledged", "error", err)
		return nil
	}
	client, _ := b.connection.Client() // Connect has made the client
	for _, name := range slices.Sorted(maps.Keys(s.Boards)) {
		err := durable.Check(ctx, client, kept.ProofOf(s.Boards[name].Rules.Durability))
		if durable.Unfit(err) {
			return fmt.Errorf("route %s: durability: %w", name, err)
		}
		if err != nil && ctx.Err() == nil {
			b.i.log.Warn("the server of records does not say whether it keeps what is written there", "route", name, "error", err)
		}
	}
	return nil
}
