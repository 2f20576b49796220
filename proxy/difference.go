package proxy

import (
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"time"

	"cacheproxy/policy/httpcache"
	"cacheproxy/store"
)

const maxNamed = 24 // the greatest number of names in one list of a log line

// tell logs the differences between the answer of the origin and the copy. tell also logs the names of the fields and
// parameters of the request that are not part of the key, since one of these may have to be. Values and bodies can be
// personal, so only names and lengths are logged.
func (o *observation) tell() {
	ex, c := o.ex, o.found.Copy
	ok, skipped := ex.route.differences.Pass(ex.start)
	if !ok {
		return
	}
	attrs := []slog.Attr{
		slog.String("route", ex.route.Name), slog.String("method", ex.r.Method), slog.String("host", ex.target.Host), slog.String("path", ex.target.Path),
		slog.String("copy_age", c.Life().Age(ex.start).Round(time.Millisecond).String()),
		slog.Int("copy_status", c.Status()), slog.Int("status", o.code), slog.Int("copy_bytes", len(c.Body())),
	}
	if name := ex.shownName(); name != "" {
		attrs = append(attrs, slog.String("key", name))
	}
	if o.body != nil {
		attrs = append(attrs, o.body.differs(c, o.code)...)
	}
	for _, list := range [...]struct {
		name  string
		names []string
	}{
		{"headers", differing(c.Header(), ex.route.StoredHeader(o.header.Clone()))},
		{"request_headers_not_in_key", ex.unkeyedHeaders(c)}, {"parameters_not_in_key", ex.unkeyedParameters()},
	} {
		if len(list.names) > 0 {
			attrs = append(attrs, slog.Any(list.name, list.names))
		}
	}
	if skipped > 0 {
		attrs = append(attrs, slog.Int("more_since_last", skipped))
	}
	ex.p.logger.LogAttrs(ex.r.Context(), slog.LevelWarn, "a copy would have differed from the origin's answer", attrs...)
}

// withheld counts and logs that the route with mode on would strip the cookies of this answer (strip_set_cookie). The
// comparison itself ignores cookies, since the route is configured to strip cookies.
func (o *observation) withheld() {
	ex := o.ex
	if !ex.route.StripSetCookie || !httpcache.SetsCookie(o.header) {
		return
	}
	ex.route.Metrics.CookiesWithheld()
	ok, skipped := ex.route.cookies.Pass(ex.start)
	if !ok {
		return
	}
	var names []string
	for _, line := range o.header.Values("Set-Cookie") {
		name, _, _ := strings.Cut(line, "=")
		names = append(names, strings.TrimSpace(name))
	}
	attrs := []slog.Attr{slog.String("route", ex.route.Name), slog.String("path", ex.target.Path), slog.Any("cookies", someSorted(names))}
	if skipped > 0 {
		attrs = append(attrs, slog.Int("more_since_last", skipped))
	}
	ex.p.logger.LogAttrs(ex.r.Context(), slog.LevelWarn, "a client would not have got the cookies of the origin's answer (strip_set_cookie)", attrs...)
}

// differs describes, for the log, the differences between the captured body and the body of a copy.
func (b *capture) differs(c *store.Copy, status int) []slog.Attr {
	if b.over {
		return []slog.Attr{slog.String("bytes", fmt.Sprintf("more than %d", b.limit))}
	}
	digest := func(d uint64) string { return fmt.Sprintf("%016x", d) }
	attrs := []slog.Attr{
		slog.Int("bytes", len(b.data)), slog.String("copy_digest", digest(c.Digest)), slog.String("digest", digest(store.Digest(status, b.data))),
	}
	at := 0
	for at < len(c.Body()) && at < len(b.data) && c.Body()[at] == b.data[at] {
		at++
	}
	if at < len(c.Body()) || at < len(b.data) {
		attrs = append(attrs, slog.Int("first_difference_at", at))
	}
	return attrs
}

// differing names the fields in which two headers differ, except Date.
func differing(a, b http.Header) []string {
	var names []string
	for name := range a {
		if name != "Date" && !slices.Equal(a[name], b[name]) {
			names = append(names, name)
		}
	}
	for name := range b {
		if _, both := a[name]; !both && name != "Date" {
			names = append(names, name)
		}
	}
	return someSorted(names)
}

// unkeyedHeaders names the fields of the request that are not part of the storage key and do not select the variant.
func (rq *request) unkeyedHeaders(c *store.Copy) []string {
	header := rq.r.Header.Clone()
	httpcache.RemoveHopByHop(header)
	var names []string
	for name := range header {
		cookies := name == "Cookie" && len(rq.route.Cookies) > 0
		if !cookies && !slices.Contains(rq.route.Headers, name) && !slices.Contains(c.Vary(), name) {
			names = append(names, name)
		}
	}
	return someSorted(names)
}

// unkeyedParameters names the parameters of the query that the route drops.
func (rq *request) unkeyedParameters() []string {
	kept := parameterNames(rq.query)
	var names []string
	for _, name := range parameterNames(rq.target.Query) {
		if !slices.Contains(kept, name) {
			names = append(names, name)
		}
	}
	return someSorted(names)
}

// parameterNames lists the raw names of a query's parameters that have a value.
func parameterNames(query string) (names []string) {
	for pair := range strings.SplitSeq(query, "&") {
		if name, _, ok := strings.Cut(pair, "="); ok {
			names = append(names, name)
		}
	}
	return names
}

func someSorted(names []string) []string {
	slices.Sort(names)
	names = slices.Compact(names)
	return names[:min(len(names), maxNamed)]
}
