package instance

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"sync"

	"cacheproxy/config"
	"cacheproxy/lockorder"
	"cacheproxy/observe"
	"cacheproxy/proxy/upstream"
)

// upstreams are the origins in force and what runs for each, across generations of the configuration.
type upstreams struct {
	log     *slog.Logger
	metrics *observe.Metrics
	agent   string // what requests of this program's own say in User-Agent

	mu       lockorder.Mutex[lockorder.Upstreams] // guards what is below
	lifetime context.Context                      // of what runs; nil: nothing does yet
	running  sync.WaitGroup
	now      []*running
	sharers  int // instances that share the limits of the fleet; zero: not known
}

// running is an upstream with what runs for it.
type running struct {
	*upstream.Upstream
	stop context.CancelFunc // ends its health checks; nil: none run
}

// next gives the origins of a snapshot, of which changes says what is new. Those that stay as they are are the same; one
// that changes takes over the places of the one before it, so that both together respect the limit.
func (u *upstreams) next(s *config.Snapshot, changes []config.Change) []*running {
	u.mu.Lock()
	defer u.mu.Unlock()
	var list []*running
	for _, o := range s.Upstreams {
		i := slices.IndexFunc(u.now, func(up *running) bool { return up.Name() == o.Name })
		o.UserAgent = u.agent
		o.Log, o.Waited = u.log, u.metrics.Upstream(o.Name).Waited
		switch {
		case i < 0:
			list = append(list, &running{Upstream: upstream.New(o)})
		case changed("upstreams["+o.Name+"]", changes):
			list = append(list, &running{Upstream: upstream.Succeed(u.now[i].Upstream, o)})
		default:
			list = append(list, u.now[i])
		}
		list[len(list)-1].sharedBy(u.sharers)
	}
	return list
}

// share tells the origins how many instances share what the fleet may have at work.
func (u *upstreams) share(instances int) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.sharers = instances
	for _, up := range u.now {
		up.sharedBy(instances)
	}
}

// sharedBy tells the origin how many instances ask it.
func (u *running) sharedBy(instances int) {
	if instances > 0 {
		u.SetInstances(instances)
	}
}

// changed reports whether a section or something in it did.
func changed(section string, changes []config.Change) bool {
	return slices.ContainsFunc(changes, func(c config.Change) bool {
		return c.Path == section || strings.HasPrefix(c.Path, section+".")
	})
}

// replace puts the origins of another generation in place of those before, which finish what they have.
func (u *upstreams) replace(next []*running) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, up := range next {
		if !slices.Contains(u.now, up) {
			u.metrics.SetUpstream(up.Name(), observe.UpstreamGauges{
				InFlight: up.InFlight, Streams: up.Streams, Queued: up.Queued, Retries: up.Retries, Health: up.Health,
			})
			u.start(up)
		}
	}
	for _, up := range u.now {
		if slices.Contains(next, up) {
			continue
		}
		if up.stop != nil {
			up.stop()
		}
		up.Retire()
		if !slices.ContainsFunc(next, func(n *running) bool { return n.Name() == up.Name() }) {
			u.metrics.RemoveUpstream(up.Name())
		}
	}
	u.now = next
}

// start runs an origin's health checks. The caller holds u.mu.
func (u *upstreams) start(up *running) {
	if u.lifetime == nil || u.lifetime.Err() != nil {
		return
	}
	var ctx context.Context
	ctx, up.stop = context.WithCancel(u.lifetime)
	u.running.Go(func() { _ = up.Run(ctx) }) // it only ever ends with its context
}

// run keeps the health checks of whatever origins are in force running until ctx ends.
func (u *upstreams) run(ctx context.Context) error {
	u.mu.Lock()
	u.lifetime = ctx
	for _, up := range u.now {
		u.start(up)
	}
	u.mu.Unlock()
	<-ctx.Done()
	u.mu.Lock() // after which nothing is started any more
	defer u.mu.Unlock()
	u.running.Wait()
	return nil
}

// origins are what requests are sent to.
func origins(list []*running) []*upstream.Upstream {
	all := make([]*upstream.Upstream, len(list))
	for i, up := range list {
		all[i] = up.Upstream
	}
	return all
}

// userAgent names this program and which build it is (RFC 9110 §10.1.5). Builds that are no release have names that are no tokens.
func userAgent(build string) string {
	version := strings.Map(func(r rune) rune {
		if strings.ContainsRune("()/ ", r) {
			return -1
		}
		return r
	}, strings.TrimPrefix(build, "v"))
	if version == "" {
		return "cacheproxy"
	}
	return "cacheproxy/" + version
}
