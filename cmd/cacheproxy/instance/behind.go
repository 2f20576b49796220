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

	"cacheproxy/admin"
	"cacheproxy/config"
	durable "cacheproxy/durable/valkey"
	"cacheproxy/invalidation/valkey"
	"cacheproxy/observe"
	"cacheproxy/proxy"
	"cacheproxy/writebehind"

	queued "cacheproxy/writebehind/valkey"
)

const (
	// learnEvery is the time between exchanges of the routes with queued writes among instances, and countEvery between
	// counts of the queue.
	learnEvery, countEvery = time.Second, 5 * time.Second
	// routeKept is how long a route stays known after the last instance has dropped the route.
	routeKept = time.Minute
)

// behind is this instance's part in the queue of writes. Every instance with Valkey has one, since a write may have to
// wait for queued writes that other instances have accepted. With secrets, behind flushes as soon as any instance has,
// or had, a route with queued writes; the routes in force on this instance do not matter for that. A nil *behind does
// nothing.
type behind struct {
	queue      *queued.Queue
	sealer     *writebehind.Sealer // nil: no secrets, so that writes can be neither accepted nor made
	connection *valkey.Connection
	i          *Instance
	metrics    *observe.WriteBehind
	held       atomic.Pointer[observe.QueuedWrites]

	flushing context.Context // ends before the proxy does
	stop     context.CancelFunc
	flusher  sync.WaitGroup
	begun    bool // only used by run
}

// newBehind makes the queue where the configuration has Valkey. A cluster has no queue, and config refuses routes that
// need one there.
func newBehind(i *Instance) (*behind, error) {
	v := i.snapshot.Valkey
	if v == nil || v.Cluster() {
		return nil, nil
	}
	b := &behind{i: i, connection: valkey.NewConnection(i.fleet.server, 0)}
	if len(v.Secrets) > 0 {
		var err error
		if b.sealer, err = writebehind.NewSealer(v.Prefix, v.Secrets); err != nil {
			return nil, err
		}
	}
	b.queue = queued.New(queued.Options{Connection: b.connection, Prefix: v.Prefix, Instance: i.fleet.name, Observe: i.fleet.observe})
	b.held.Store(new(observe.QueuedWrites)) // empty, until counted
	b.metrics = i.metrics.WriteBehind(b.held.Load)
	b.flushing, b.stop = context.WithCancel(context.Background())
	return b, nil
}

// giveTo lets a proxy use the queue.
func (b *behind) giveTo(o *proxy.Options) {
	if b != nil {
		o.Writes, o.Sealer, o.WritePrefix = b.queue, b.sealer, b.i.snapshot.Valkey.Prefix
	}
}

// run keeps the connection, appends writes, exchanges routes and flushes until ctx ends.
func (b *behind) run(ctx context.Context) error {
	var parts sync.WaitGroup
	parts.Go(func() { _ = b.connection.Run(ctx) }) // returns when ctx ends
	parts.Go(func() { _ = b.queue.Run(ctx) })
	learn, count := time.NewTicker(learnEvery), time.NewTicker(countEvery)
	defer learn.Stop()
	defer count.Stop()
	_ = b.connection.Connect() // failed calls count as errors of the server; Run keeps trying
	b.learn(ctx)
	for ctx.Err() == nil {
		select {
		case <-learn.C:
			b.learn(ctx)
		case <-count.C:
			b.count(ctx)
		case <-ctx.Done():
		}
	}
	b.stop()
	b.flusher.Wait()
	parts.Wait()
	return nil
}

// learn tells the other instances of the routes here, learns theirs, and begins to flush once there are any.
func (b *behind) learn(ctx context.Context) {
	routes := proxy.BehindOf(b.i.proxy)
	all, err := b.queue.Register(ctx, routes.Routes(), routeKept)
	if err != nil {
		return // requests that ask the queue refuse writes with possible predecessors
	}
	routes.Learn(all)
	if len(all) == 0 || b.begun || b.sealer == nil || b.flushing.Err() != nil {
		return
	}
	b.begun = true
	f := writebehind.NewFlusher(writebehind.FlusherOptions{
		Queue: b.queue, Sealer: b.sealer, Send: routes.Send, Confirm: routes.Confirm, Log: b.i.log, Told: b.told,
	})
	b.flusher.Go(func() { _ = f.Run(b.flushing) })
}

func (b *behind) told(route string, state writebehind.State, sinceAccepted time.Duration) {
	switch state {
	case writebehind.Done:
		b.metrics.Done(route, sinceAccepted)
	case writebehind.Waiting:
		b.metrics.Retry(route)
	case writebehind.Dead:
		b.metrics.Dead(route)
	}
}

// count counts the waiting writes.
func (b *behind) count(ctx context.Context) {
	if !b.begun {
		return
	}
	s, err := b.queue.Stats(ctx)
	if err != nil {
		return // the last counts stay while the server does not answer
	}
	for name := range b.i.generations.current.Load().Behind {
		b.metrics.Route(name)
		if _, some := s.Depth[name]; !some {
			s.Depth[name] = 0
		}
	}
	b.held.Store(&observe.QueuedWrites{Depth: s.Depth, Oldest: s.Oldest, Dead: s.Dead})
}

// end finishes running writes and hands the partitions to other instances, before the proxy ends, which makes the
// writes.
func (b *behind) end() {
	if b != nil {
		b.stop()
		b.flusher.Wait()
	}
}

// fits fails where the server cannot keep the promises of a configuration's routes. A server that does not answer may
// turn out to keep them. Until the server answers, no write is accepted.
func (b *behind) fits(ctx context.Context, s *config.Snapshot) error {
	if len(s.Behind) == 0 {
		return nil
	}
	if b == nil || b.sealer == nil {
		return errors.New("a route has policy: write-behind, which needs a restart with valkey and its secrets")
	}
	if err := b.connection.Connect(); err != nil {
		b.i.log.Warn("Valkey cannot be asked whether it keeps what is written there; until it answers no write is accepted", "error", err)
		return nil
	}
	for _, name := range slices.Sorted(maps.Keys(s.Behind)) {
		err := b.queue.CheckServer(ctx, s.Behind[name].Durability)
		if durable.Unfit(err) {
			return fmt.Errorf("route %s: durability: %s: %w", name, s.Behind[name].Durability, err)
		}
		if err != nil && ctx.Err() == nil {
			b.i.log.Warn("Valkey does not say whether it keeps what is written there", "route", name, "error", err)
		}
	}
	return nil
}

// refuseMode returns the fault of an order for a mode.
func (i *Instance) refuseMode(o admin.ModeOrder) error {
	now := i.generations.current.Load()
	if now.Boards[o.Route] != nil && !o.Reset && o.Share < 1 {
		return fmt.Errorf("route %q keeps boards, of which a share of the submissions would be missing: leave out the share", o.Route)
	}
	if now.Behind[o.Route] != nil && !o.Reset && o.Share < 1 {
		return fmt.Errorf("route %q answers writes before its upstream does, and a share of them would have to wait for the others each time: leave out the share", o.Route)
	}
	return nil
}

// admin lets an operator list waiting writes and decide about dead letters.
func (b *behind) admin(o *admin.Options) {
	if b == nil {
		return
	}
	o.Writes = &admin.Writes{List: b.list, Retry: b.queue.Retry, Drop: b.queue.Drop, Refused: refusedDecision}
}

// refusedDecision reports whether the state of the write prevents an operator's decision. Other errors come from the
// server.
func refusedDecision(err error) bool {
	return errors.Is(err, writebehind.ErrUnknown) || errors.Is(err, writebehind.ErrNotDead) || errors.Is(err, writebehind.ErrLater)
}

// list lists queued writes for operators: with method and target, without content and header.
func (b *behind) list(ctx context.Context, dead bool, route string, most int) ([]admin.QueuedWrite, error) {
	records, err := b.queue.List(ctx, queued.Listed{Dead: dead, Route: route, Most: most})
	if err != nil {
		return nil, err
	}
	all := make([]admin.QueuedWrite, 0, len(records))
	for _, r := range records {
		w := admin.QueuedWrite{
			ID: r.ID, State: string(r.State), Route: r.Route, Accepted: r.Accepted.UTC(), Attempts: r.Attempts, Status: r.Status, Problem: r.Problem,
			Blocks: r.State == writebehind.Dead && r.Blocks, Overtaken: r.Overtaken, Sequence: r.Sequence, Next: r.Next.UTC(),
		}
		if b.sealer == nil { // an instance without secrets cannot open the request
			all = append(all, w)
			continue
		}
		if content, err := b.sealer.Open(r.ID, r.Key, r.Sealed); err == nil {
			if asked, err := writebehind.Decode(content); err == nil {
				w.Method, w.Path, w.Upstream = asked.Method, asked.Path, asked.Upstream
			}
		}
		all = append(all, w)
	}
	return all, nil
}
