package admin

import (
	"context"
	"log/slog"
	"regexp"
	"slices"
	"strings"
	"time"
)

// entry is what the audit log will say of one call, besides who made it and how it was answered. Every call that needs a
// token is in the log at level info or above, those that only read too: what they show is not for everybody. Health and
// metrics, which machines ask for all the time, are there at level debug.
type entry struct {
	start   time.Time
	what    string // empty: nothing in particular
	attrs   []slog.Attr
	problem *problem // the answer, where the call failed
	silent  bool     // the call was turned away, as many before it: the metric counts them all
}

// tell adds what a call did.
func (e *entry) tell(what string, attrs ...slog.Attr) {
	e.what, e.attrs = what, attrs
}

// level is how much a call matters. status is zero when the call ended in a panic.
func (e *entry) level(r *request, status int) slog.Level {
	switch {
	case r.open:
		return slog.LevelDebug
	case status >= 500, status == 0:
		return slog.LevelError
	case e.refused() || status >= 400 && !slices.Contains(reads, r.Method):
		return slog.LevelWarn
	}
	return slog.LevelInfo
}

func (e *entry) refused() bool { return e.problem != nil && e.problem.refusal != "" }

// audit writes one line: who, from where, what, how it ended and how long that took. The query is left out: that of an
// explanation can hold credentials, and what a purge names is told apart.
func (h *handler) audit(r *request, status int) {
	e := &r.entry
	if e.silent {
		return
	}
	level := e.level(r, status)
	if !h.Log.Enabled(context.Background(), level) {
		return
	}
	path, _, _ := strings.Cut(r.RequestURI, "?")
	attrs := []slog.Attr{
		slog.String("who", r.caller.name), slog.String("from", r.from), slog.String("method", shorten(r.Method)), slog.String("target", shorten(path)),
		slog.Int("status", status), slog.Float64("took_ms", milliseconds(time.Since(e.start))),
	}
	attrs = append(attrs, e.attrs...)
	what := e.what
	if what == "" {
		what = "admin call"
	}
	if p := e.problem; p != nil {
		attrs = append(attrs, slog.String("error", withoutValues(p.text)))
		if p.refusal != "" {
			attrs = append(attrs, slog.String("reason", p.refusal))
		}
		if level == slog.LevelWarn {
			what = "refuse admin call"
		}
	}
	h.Log.LogAttrs(context.Background(), level, what, attrs...)
}

// withoutValues is a text of which each query shows the names of its parameters alone, as in the access log: URLs that are purged, or refused,
// have the values that clients have sent. One without "=" is all value for all we know. A query ends with the quotes around its URL, or with
// the text.
func withoutValues(text string) string {
	return queryInText.ReplaceAllStringFunc(text, func(query string) string {
		pairs := strings.Split(query[1:], "&")
		for i, pair := range pairs {
			if name, _, ok := strings.Cut(pair, "="); ok {
				pairs[i] = name + "=…"
			} else {
				pairs[i] = "…"
			}
		}
		return "?" + strings.Join(pairs, "&")
	})
}

var queryInText = regexp.MustCompile(`\?[^"]+`)
