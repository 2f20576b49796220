package instance

import (
	"context"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"cacheproxy/config"
	"cacheproxy/lockorder"
	"cacheproxy/observe"
	"cacheproxy/proxy/upstream"
)

// upstreams are the origins in force and their goroutines, across generations of the configuration.
type upstreams struct {
	log     *slog.Logger
	metrics *observe.Metrics
	agent   string // User-Agent of the program's own requests

	mu       lockorder.Mutex[lockorder.Upstreams] // guards the fields below
	lifetime context.Context                      // of the health checks; nil: run has not begun
	running  sync.WaitGroup
	now      []*running
	sharers  int                 // instances that share the limits of the fleet; zero: unknown
	loads    map[string]*load    // by upstream
	failures map[string]*failing // by upstream; look drops those of removed upstreams
}

// running is an upstream and its health checks.
type running struct {
	*upstream.Upstream
	stop context.CancelFunc // ends the health checks; nil: none run
}

// next makes the origins of a snapshot. changes lists the changed keys. An unchanged origin is reused. A changed origin
// takes over the places of its predecessor, so that both together keep to the limit.
func (u *upstreams) next(s *config.Snapshot, changes []config.Change) []*running {
	u.mu.Lock()
	defer u.mu.Unlock()
	var list []*running
	for _, o := range s.Upstreams {
		i := slices.IndexFunc(u.now, func(up *running) bool { return up.Name() == o.Name })
		o.UserAgent = u.agent
		u.watch(&o)
		switch {
		case i < 0:
			list = append(list, u.joined(&running{Upstream: upstream.New(o)}, list))
		case changed("upstreams["+o.Name+"]", changes) || o.Limit != "" && changed("shared_limits["+o.Limit+"]", changes):
			list = append(list, u.joined(&running{Upstream: upstream.Succeed(u.now[i].Upstream, o)}, list))
		default:
			list = append(list, u.now[i])
		}
		list[len(list)-1].sharedBy(u.sharers)
	}
	return list
}

// joined makes a new origin share its shared limit with another origin of this generation or the one before.
func (u *upstreams) joined(up *running, list []*running) *running {
	for _, other := range slices.Concat(list, u.now) {
		if up.Limit() != "" && other.Limit() == up.Limit() {
			up.Share(other.Upstream)
			break
		}
	}
	return up
}

// watch connects an origin with its metrics and its log. The caller holds u.mu.
func (u *upstreams) watch(o *upstream.Options) {
	m, failing := u.metrics.Upstream(o.Name), u.failingOf(o.Name)
	failing.removed = false
	o.Log, o.Waited, o.Received, o.Completed = u.log, m.Waited, m.Received, m.Completed
	o.Answered = func(res *http.Response, route string) {
		m.Response(res.StatusCode)
		if res.StatusCode >= http.StatusInternalServerError {
			failing.add(res, route, time.Now())
		}
	}
}

// share sets the number of instances that share the fleet's limits, for all origins.
func (u *upstreams) share(instances int) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.sharers = instances
	for _, up := range u.now {
		up.sharedBy(instances)
	}
}

// sharedBy sets the number of instances that share the origin's limit, if the number is known.
func (u *running) sharedBy(instances int) {
	if instances > 0 {
		u.SetInstances(instances)
	}
}

// changed reports whether a section or a key in the section has changed.
func changed(section string, changes []config.Change) bool {
	return slices.ContainsFunc(changes, func(c config.Change) bool {
		return c.Path == section || strings.HasPrefix(c.Path, section+".")
	})
}

// replace puts the origins of another generation in force. Replaced origins finish their requests.
func (u *upstreams) replace(next []*running) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, up := range next {
		if !slices.Contains(u.now, up) {
			u.metrics.SetUpstream(up.Name(), observe.UpstreamGauges{
				InFlight: up.InFlight, Peak: up.Peak, Streams: up.Streams, Queued: up.Queued, WouldShed: up.WouldShed, Unprotected: u.load(up.Name()).unprotected.Load, Retries: up.Retries, Health: up.Health,
				Limits: up.Limits,
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
			delete(u.loads, up.Name())
		}
	}
	for name, f := range u.failures {
		f.removed = !slices.ContainsFunc(next, func(n *running) bool { return n.Name() == name })
	}
	u.now = next
}

// start starts an origin's health checks. The caller holds u.mu.
func (u *upstreams) start(up *running) {
	if u.lifetime == nil || u.lifetime.Err() != nil {
		return
	}
	var ctx context.Context
	ctx, up.stop = context.WithCancel(u.lifetime)
	u.running.Go(func() { _ = up.Run(ctx) }) // returns when ctx ends
}

// run keeps the health checks of the origins in force running until ctx ends.
func (u *upstreams) run(ctx context.Context) error {
	u.mu.Lock()
	u.lifetime = ctx
	for _, up := range u.now {
		u.start(up)
	}
	u.mu.Unlock()
	<-ctx.Done()
	u.mu.Lock() // start starts nothing after ctx has ended
	defer u.mu.Unlock()
	u.running.Wait()
	return nil
}

// origins are the upstreams of the list.
func origins(list []*running) []*upstream.Upstream {
	all := make([]*upstream.Upstream, len(list))
	for i, up := range list {
		all[i] = up.Upstream
	}
	return all
}

// userAgent names this program and its build (RFC 9110 §10.1.5). Names of builds other than releases may hold
// characters that a token cannot.
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
