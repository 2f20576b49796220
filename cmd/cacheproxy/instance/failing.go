package instance

import (
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	"cacheproxy/observe"
	"cacheproxy/proxy/upstream"
)

// failing logs the answers of an upstream that are errors: a few lines a minute, even where all answers are errors.
// Safe for concurrent use.
type failing struct {
	log      *slog.Logger
	upstream string
	lines    observe.Throttle
	removed  bool // no origin of the name is in force; guarded by upstreams.mu
}

// failingOf is the failing of the upstream with that name. The caller holds u.mu.
func (u *upstreams) failingOf(name string) *failing {
	if u.failures == nil {
		u.failures = map[string]*failing{}
	}
	if u.failures[name] == nil {
		u.failures[name] = &failing{log: u.log, upstream: name}
	}
	return u.failures[name]
}

// add logs one error answer to a request of a route.
func (f *failing) add(res *http.Response, route string, now time.Time) {
	ok, skipped := f.lines.Pass(now)
	if !ok {
		return
	}
	asked := res.Request
	f.log.Warn("upstream answers with an error", "upstream", f.upstream, "upstream_address", upstream.Peer(res), "status", res.StatusCode,
		"route", route, "method", asked.Method, "path", pathOf(asked.URL), "request_id", asked.Header.Get("X-Request-Id"), "more_since_last", skipped)
}

// pathOf is the path as sent, which a target may keep in its opaque part. The query is left out, since it may be
// personal.
func pathOf(target *url.URL) string {
	sent := target.RequestURI()
	if u, err := url.ParseRequestURI(sent); err == nil {
		return u.EscapedPath()
	}
	path, _, _ := strings.Cut(sent, "?")
	return path
}

// rest logs the number of errors without a line, when no later error has reported the number.
func (f *failing) rest(now time.Time) {
	if skipped := f.lines.Rest(now); skipped > 0 {
		f.log.Warn("upstream has answered with more errors than have a line", "upstream", f.upstream, "more_since_last", skipped)
	}
}

// restOfFailures tells of the errors of all upstreams that had no line. The failing of a removed upstream stays until no
// error is left to tell of: requests that were on their way when the upstream was removed still add to it. The caller
// holds u.mu.
func (u *upstreams) restOfFailures(now time.Time) {
	for name, f := range u.failures {
		if f.rest(now); f.removed && f.lines.Idle(now) {
			delete(u.failures, name)
		}
	}
}
