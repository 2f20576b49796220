package instance

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"time"

	"cacheproxy/admin"
	"cacheproxy/config"
	"cacheproxy/invalidation"
)

// LongestAnswer bounds an operator's call. A purge waits less than that for the instances of a fleet with the longest
// lease.
const LongestAnswer = 200 * time.Second

// adminOptions connects the operator's listener with the instance.
func (i *Instance) adminOptions() admin.Options {
	o := admin.Options{
		Tokens: tokens(i.snapshot.Admin.Tokens),
		Purge:  i.purge, ConfirmTimeout: i.fleet.confirmTimeout,
		URLMembers: i.proxy.URLMembers,
		RouteNames: i.proxy.RouteNames,
		Seen:       i.memory.Seen,
		Explain: func(_ context.Context, method, url string, header http.Header, assumed []string) (any, error) {
			e, err := i.proxy.Explain(method, url, header)
			if err != nil {
				return nil, err
			}
			e.Assumed = assumed
			return e, nil
		},
		SetMode: i.setMode, RefuseMode: i.refuseMode,
		Modes:    i.modes,
		Refused:  i.metrics.AdminAuthFailures(admin.Refusals()),
		Config:   i.viewConfig,
		Reload:   i.reloadAsked,
		Ready:    func() error { return errors.Join(i.phase.ready(), i.fleet.ready()) },
		Gatherer: i.metrics.Gatherer(), Log: slog.New(auditLog{i.logs.audit.Handler(), i.log.Handler()}),
		AuditFull: i.logs.auditFull, Build: i.build,
	}
	i.behind.admin(&o)
	return o
}

// auditLog writes audit lines whatever the level of the log, which is for the program's own lines. Lines below level
// info go to the other lines.
type auditLog struct {
	slog.Handler
	others slog.Handler
}

// Handle implements slog.Handler.
func (a auditLog) Handle(ctx context.Context, r slog.Record) error {
	if r.Level < slog.LevelInfo {
		return a.others.Handle(ctx, r)
	}
	return a.Handler.Handle(ctx, r)
}

// Enabled implements slog.Handler.
func (a auditLog) Enabled(ctx context.Context, l slog.Level) bool {
	return l >= slog.LevelInfo || a.Handler.Enabled(ctx, l)
}

// modes lists the modes in force for operators.
func (i *Instance) modes() []admin.RouteMode {
	var all []admin.RouteMode
	for _, m := range i.proxy.Modes() {
		shown := admin.RouteMode{Route: m.Route, Mode: m.Mode.String(), Share: admin.PercentOf(m.Share)}
		if m.Overridden {
			shown.Configured = &admin.ModeSetting{Mode: m.Configured.String(), Share: admin.PercentOf(m.ConfiguredShare)}
			shown.Override = &admin.ModeOverride{By: m.By, Since: m.Since.UTC()}
			if !m.Until.IsZero() {
				until := m.Until.UTC()
				shown.Override.Until = &until
			}
		}
		all = append(all, shown)
	}
	return all
}

// purge carries out an operator's purge. The purge may concern any upstream, so the longest settle time counts.
func (i *Instance) purge(ctx context.Context, p admin.Purge) (invalidation.Receipt, error) {
	p.Settle = i.generations.current.Load().LongestSettle()
	r, err := i.entries.Invalidate(ctx, p.Order)
	switch {
	case p.Wait == invalidation.WaitAll && (err != nil || !r.Held):
		i.metrics.PurgeUnconfirmed()
	case err == nil && r.Held:
		i.metrics.Purge("admin", p.Kind, r.Took)
	case err == nil:
		i.metrics.PurgeRecorded("admin", p.Kind)
	}
	return r, err
}

func tokens(configured []config.Token) []admin.Token {
	var all []admin.Token
	for _, t := range configured {
		var scopes admin.Scope
		for permission, scope := range map[config.Permission]admin.Scope{
			config.AllowPurge: admin.ScopePurge, config.AllowPurgeAll: admin.ScopePurge | admin.ScopePurgeAll, config.AllowMode: admin.ScopeMode, config.AllowRead: admin.ScopeRead,
		} {
			if t.Allow.Has(permission) {
				scopes |= scope
			}
		}
		all = append(all, admin.Token{
			Name: t.Name, Secret: string(t.Secret), Allow: scopes, From: t.From, Sites: t.Sites, Tags: t.Tags, AnyTags: t.AnyTags,
		})
	}
	return all
}
