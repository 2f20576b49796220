package instance

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync/atomic"
	"time"

	"cacheproxy/admin"
	"cacheproxy/config"
	"cacheproxy/lockorder"
	"cacheproxy/proxy/server"
)

// generations are the successive configurations of an instance.
type generations struct {
	source *config.Source // nil: reloads have no source
	level  *slog.LevelVar // of the log

	current atomic.Pointer[config.Snapshot] // in force

	mu      lockorder.Mutex[lockorder.Generations] // held while a generation replaces another; guards the fields below
	sources config.Sources
	since   time.Time // when current came into force
	refused []string  // problems of the last reading; empty: its configuration is in force
	failed  time.Time // when a valid configuration could not be put in force; zero: the last one is in force or not valid
	number  int       // of current, from 1
	recent  []string  // changes that came into force by since and that no caller of a reload has been told
}

// justNow is how long changes are reported to a later caller of a reload. An operator who edits a file and asks for a
// reload at once is told the changes even where the change of the file has already caused a reload.
const justNow = 10 * time.Second

// begin takes the configuration of the start.
func (g *generations) begin(o Options) {
	g.source, g.level = o.Source, o.Level
	if g.level == nil {
		g.level = new(slog.LevelVar) // no log uses this one
	}
	g.current.Store(o.Config)
	g.sources, g.since, g.number = o.Config.Sources, time.Now(), 1
}

// reload reads the configuration again and puts all of it in force, or nothing. by names the cause of the reload.
func (i *Instance) reload(ctx context.Context, by string) (admin.Reloaded, error) {
	i.generations.mu.Lock()
	defer i.generations.mu.Unlock()
	return i.reloadLocked(ctx, by)
}

// reloadLocked is reload for callers that hold generations.mu.
func (i *Instance) reloadLocked(ctx context.Context, by string) (admin.Reloaded, error) {
	g := &i.generations
	if g.source == nil {
		return i.reloaded(nil), nil
	}
	next, sources, err := g.source.Read()
	defer g.watch(sources)
	if err != nil {
		i.refuse(by, err)
		i.renew(ctx)
		return admin.Reloaded{}, &admin.InvalidConfigError{Problems: g.refused}
	}
	changes := next.Changes(g.current.Load())
	if err := i.apply(ctx, next, changes); err != nil {
		i.unapplied(by, err)
		return admin.Reloaded{}, err
	}
	g.refused, g.failed = nil, time.Time{}
	i.metrics.ConfigRead(true)
	done := i.reloaded(changes)
	if len(changes) == 0 {
		i.logs.audit.Info("configuration read again; nothing has changed", "by", by)
		return done, nil
	}
	for _, w := range next.Warnings {
		i.logs.audit.Warn("relaxed safety", "where", w.String())
	}
	i.logs.audit.Info("configuration reloaded", "by", by, "generation", g.number, "changed", done.Changed)
	if len(done.Restart) > 0 {
		i.logs.audit.Warn("changed keys wait for a restart", "keys", done.Restart)
	}
	return done, nil
}

// unapplied records and logs a valid configuration that could not be put in force, as where Valkey does not answer.
// Retries that fail with the same error are logged once.
func (i *Instance) unapplied(by string, err error) {
	g := &i.generations
	said := []string{err.Error()}
	if by != byRetry || !slices.Equal(said, g.refused) {
		i.logs.audit.Error("configuration not applied; the one before stays in force, and the new one is tried again until it is", "by", by, "error", err)
	}
	g.refused, g.failed = said, time.Now()
	i.metrics.ConfigRead(false)
}

// refuse records and logs a configuration that cannot be used.
func (i *Instance) refuse(by string, err error) {
	g := &i.generations
	g.failed = time.Time{}
	g.refused = []string{err.Error()}
	if problems, is := errors.AsType[config.Problems](err); is {
		g.refused = nil
		for _, p := range problems {
			g.refused = append(g.refused, p.String())
		}
	}
	i.metrics.ConfigRead(false)
	i.logs.audit.Error("configuration refused; the one before stays in force", "by", by, "problems", g.refused)
}

// renew puts changed files beside a refused configuration in force, such as a new certificate. A mistake in the file,
// noticed by no one yet, must not let certificates expire or old tokens stay valid.
func (i *Instance) renew(ctx context.Context) {
	g := &i.generations
	next, err := g.source.Renew(g.current.Load())
	if err != nil {
		return // the refusal has logged the same
	}
	changes := next.Changes(g.current.Load())
	if len(changes) == 0 {
		return
	}
	if err := i.apply(ctx, next, changes); err != nil {
		i.logs.audit.Error("secrets and certificates not renewed", "error", err)
		return
	}
	i.logs.audit.Info("secrets and certificates renewed", "generation", g.number, "changed", i.reloaded(changes).Changed)
}

// apply puts a valid configuration in force. After the change of routes no step can fail.
func (i *Instance) apply(ctx context.Context, next *config.Snapshot, changes []config.Change) error {
	g := &i.generations
	if len(changes) > 0 {
		if err := errors.Join(i.behind.fits(ctx, next), i.boards.fits(ctx, next), i.archive.fits(next), i.feedFits(next)); err != nil {
			return err
		}
		ups, routes := i.upstreams.next(next, changes), i.proxy.RouteNames()
		i.feed.between(g.current.Load(), next)
		err := i.fleet.change(ctx, next.Routes, func(anew []string) error {
			joined := i.proxyConfig(next, ups)
			joined.Anew = anew
			return i.proxy.Reconfigure(ctx, joined)
		})
		if err != nil {
			i.feed.reconfigure(g.current.Load())
			return fmt.Errorf("change routes: %w", err)
		}
		i.switches.renew(routes)
		i.upstreams.replace(ups)
		i.fleet.present(next.Valkey)
		i.boards.present(next.Records)
		i.feed.reconfigure(next)
		i.archive.reconfigure(next)
		i.calls.SetTokens(tokens(next.Admin.Tokens))
		i.present(next)
		i.memory.Resize(next.Memory.Size)
		i.fleet.limit(next.Memory.MaxObject)
		g.level.Set(next.Log.Level)
		i.access.SetShares(next.Log.Hits, next.Log.Others)
		g.number++
		if now := time.Now(); now.Sub(g.since) > justNow {
			g.since, g.recent = now, nil
		} else {
			g.since = now
		}
		g.recent = append(g.recent, cameIntoForce(changes)...)
	}
	g.current.Store(next)
	i.boundMemory()
	return nil
}

// present gives the certificates of a configuration to the listeners that were opened with TLS.
func (i *Instance) present(s *config.Snapshot) {
	for _, l := range []struct {
		name  string
		in    *server.Certificate
		takes *config.TLS
	}{{"data", i.certificate, s.TLS}, {"admin", i.adminCertificate, s.Admin.TLS}} {
		if l.in == nil || l.takes == nil {
			continue
		}
		l.in.Replace(l.takes.Certificate, l.takes.MinVersion)
		i.metrics.SetCertificate(l.name, l.takes.Certificate.Leaf.NotAfter)
	}
}

// reloaded lists the changes that came into force, and the changes since the start that have not. The caller holds
// generations.mu.
func (i *Instance) reloaded(changes []config.Change) admin.Reloaded {
	now := i.generations.current.Load()
	r := admin.Reloaded{
		Changed: []string{}, Recent: []string{}, Restart: []string{}, Warnings: []string{}, Generation: i.generations.number, Since: i.generations.since.UTC(),
	}
	r.Changed = append(r.Changed, cameIntoForce(changes)...)
	for _, c := range now.Changes(i.snapshot) {
		if c.Restart {
			r.Restart = append(r.Restart, c.Path)
		}
	}
	for _, w := range now.Warnings {
		r.Warnings = append(r.Warnings, w.String())
	}
	r.Warnings = append(r.Warnings, i.upstreams.peaks()...)
	return r
}

// cameIntoForce lists the changes that need no restart.
func cameIntoForce(changes []config.Change) (all []string) {
	for _, c := range changes {
		if !c.Restart {
			all = append(all, c.String())
		}
	}
	return all
}

// reloadAsked is reload for a caller that waits for the result.
func (i *Instance) reloadAsked(ctx context.Context) (admin.Reloaded, error) {
	g := &i.generations
	g.mu.Lock()
	defer g.mu.Unlock()
	before := g.recent
	if time.Since(g.since) > justNow {
		before = nil
	}
	done, err := i.reloadLocked(ctx, "admin")
	if err == nil {
		done.Recent = append(done.Recent, before...)
		g.recent = nil
	}
	return done, err
}

// watch sets the files to watch: those of the configuration in force, and those of the last reading. The caller holds
// g.mu.
func (g *generations) watch(read config.Sources) {
	g.sources = g.current.Load().Sources.And(read)
}

// retries reports whether to try again, at a time, to put a valid configuration in force.
func (g *generations) retries(now time.Time) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return !g.failed.IsZero() && now.Sub(g.failed) >= retryEvery
}

// watched are the files to watch.
func (g *generations) watched() config.Sources {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.sources
}

// viewConfig shows the configuration in force and its origin: the changes that wait for a restart, the problems of a
// later reading, and the state of the fleet and of the feed, if any.
func (i *Instance) viewConfig() any {
	g := &i.generations
	g.mu.Lock()
	defer g.mu.Unlock()
	view := config.View{
		{Name: "generation", Value: g.number}, {Name: "since", Value: g.since.UTC()}, {Name: "waits_for_restart", Value: g.current.Load().Waiting(i.snapshot)},
	}
	if len(g.refused) > 0 {
		view = append(view, config.Field{Name: "refused", Value: g.refused})
	}
	view = append(view, g.current.Load().View(i.snapshot)...)
	if fleet := i.fleet.view(); fleet != nil {
		view = append(view, config.Field{Name: "fleet", Value: fleet})
	}
	if feed := i.feed.view(time.Now()); feed != nil {
		view = append(view, config.Field{Name: "feed", Value: feed})
	}
	return view
}
