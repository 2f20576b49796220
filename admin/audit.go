package admin

import (
	"context"
	"log/slog"
	"regexp"
	"slices"
	"strings"
	"time"
)

// entry is the audit log's line for one call, besides caller and status. Every call that needs a token is logged at
// level info or above, including calls that only read, since they show data that is not public. Health and metrics,
// which machines call all the time, are logged at level debug.
type entry struct {
	start   time.Time
	what    string // empty: nothing in particular
	attrs   []slog.Attr
	problem *problem // the answer, where the call failed
	silent  bool     // no line is written: too many refusals, which the metric counts, or no room
}

// tell adds the action of a call to its entry.
func (e *entry) tell(what string, attrs ...slog.Attr) {
	e.what, e.attrs = what, attrs
}

// level is the log level of a call. status is zero when the call ended in a panic.
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

// audit writes one line: caller, address, call, status and duration. The query is left out. The query of an explanation
// can hold credentials, and the names of a purge have an attribute of their own.
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

// withoutValues leaves only the names of parameters in each query of a text, as in the access log. Purged or refused
// URLs hold values that clients have sent. A parameter without "=" may be all value and is left out whole. A query ends
// with the quotes around its URL, or with the text.
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
