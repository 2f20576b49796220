package main

import (
	"bytes"
	"cmp"
	"crypto/tls"
	"fmt"
	"io"
	"net/url"
	"strings"
	"text/tabwriter"
	"time"

	"cacheproxy/config"
	"cacheproxy/policy"
	"cacheproxy/proxy/upstream"
)

// table has lines of a name and a text, aligned for printing.
type table struct {
	w *tabwriter.Writer
	b *bytes.Buffer
}

func newTable() table {
	var b bytes.Buffer
	return table{tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0), &b}
}

// row adds a line, unless the text is empty.
func (t table) row(name, text string) {
	if text != "" {
		fmt.Fprintf(t.w, "  %s\t%s\n", name, text) // a buffer does not fail
	}
}

// rowf is row with a format.
func (t table) rowf(name, format string, args ...any) { t.row(name, fmt.Sprintf(format, args...)) }

func (t table) title(format string, args ...any) {
	fmt.Fprintf(t.w, "\n"+format+"\n", args...)
}

func (t table) print(out io.Writer) error {
	if err := t.w.Flush(); err != nil {
		return fmt.Errorf("align report: %w", err)
	}
	if _, err := out.Write(t.b.Bytes()); err != nil {
		return fmt.Errorf("print report: %w", err)
	}
	return nil
}

// report prints the meaning of a valid configuration.
func report(out io.Writer, file string, s *config.Snapshot) error {
	t := newTable()
	fmt.Fprintf(t.w, "%s is valid: %s, %s, %s\n", file, count(len(s.Upstreams), "upstream"), count(len(s.Routes), "route"),
		count(len(s.Warnings), "warning"))
	reportServer(t, s)
	if s.Valkey != nil {
		reportValkey(t, s.Valkey)
	}
	reportRecords(t, s)
	if s.Postgres != nil {
		reportPostgres(t, s.Postgres)
	}
	for _, o := range s.Upstreams {
		reportUpstream(t, o, s)
	}
	for _, r := range s.Routes {
		reportRoute(t, r, s)
	}
	return t.print(out)
}

func reportServer(t table, s *config.Snapshot) {
	t.title("listeners and store")
	protocol := "HTTP/1.1"
	if s.TLS != nil {
		protocol = "HTTP/1.1 and HTTP/2 over " + tlsOf(s.TLS)
	} else if s.H2C {
		protocol = "HTTP/1.1 and HTTP/2 without TLS"
	}
	t.row("listen", s.Listen+", "+protocol)
	over := ""
	if s.Admin.TLS != nil {
		over = ", over " + tlsOf(s.Admin.TLS)
	}
	t.row("admin", s.Admin.Listen+", "+count(len(s.Admin.Tokens), "token")+over)
	if len(s.TrustedProxies) > 0 {
		t.row("trusted proxies", strings.Trim(fmt.Sprint(s.TrustedProxies), "[]"))
	}
	t.rowf("drain", "%s, then %s to finish", config.DurationText(s.DrainDelay), config.DurationText(s.ShutdownTimeout))
	t.row("limits", s.Part("limits").Written())
	t.rowf("access log", "%s of hits, %s of the rest, all errors", config.ShareText(s.Log.Hits), config.ShareText(s.Log.Others))
	if s.Tracing != nil {
		t.rowf("tracing", "%s of requests, and all that belong to a sampled trace, to %s as %s", config.ShareText(s.Tracing.Sample), s.Tracing.Endpoint, s.Tracing.Service)
	}
	memory := fmt.Sprintf("memory of this process, which cannot be down: %s, copies up to %s", config.SizeText(s.Memory.Size), config.SizeText(s.Memory.MaxObject))
	if s.Memory.GoLimit > 0 {
		memory += ", Go memory limit " + config.SizeText(s.Memory.GoLimit)
	}
	if s.Valkey != nil {
		memory += "; then Valkey, below"
	}
	t.row("store", memory)
	t.row("reload", "at SIGHUP, POST /reload, and when its files change; a restart is needed for "+strings.Join(config.RestartKeys(), ", "))
}

func tlsOf(l *config.TLS) string {
	leaf := l.Certificate.Leaf
	if leaf == nil { // with --without-secrets
		return tls.VersionName(l.MinVersion) + " or later, as a certificate that is not here"
	}
	return fmt.Sprintf("%s or later, as %s until %s", tls.VersionName(l.MinVersion), leaf.Subject, leaf.NotAfter.Format(time.DateOnly))
}

func reportUpstream(t table, o upstream.Options, s *config.Snapshot) {
	t.title("upstream %s", o.Name)
	t.row("url", join(append([]*url.URL{o.URL}, o.Replicas...), (*url.URL).String))
	host := "the client's, keyed"
	switch {
	case o.HostOfAddress && len(o.Replicas) > 0:
		host = "that of each address, not keyed"
	case o.Host.Literal != "":
		host = o.Host.Literal + ", not keyed"
	}
	t.row("host", host)
	entry := s.Entry("upstreams", o.Name)
	reportLimit(t, o, s)
	t.row("timeouts", entry.Written("timeout", "connect_timeout", "read_timeout"))
	if d := s.Settle[o.Name]; d > 0 {
		t.row("settle", "what is invalidated is invalidated once more after "+config.DurationText(d))
	}
	t.row("tls", upstreamTLSOf(o.TLS))
	if o.Health.Path != "" {
		health := entry.Part("health").Written()
		if len(o.Replicas) == 0 {
			health += "; measured only, an only address stays in use"
		}
		t.row("health", health)
	}
}

// reportLimit prints how many requests may be at work at an upstream at once, and which requests the limit does not
// bind.
func reportLimit(t table, o upstream.Options, s *config.Snapshot) {
	list, name := "upstreams", o.Name
	if o.Limit != "" {
		list, name = "shared_limits", o.Limit
		t.row("limit", o.Limit+", shared with all upstreams that name it")
	}
	entry := s.Entry(list, name)
	if o.MaxInFlight == 0 {
		t.row("limits", "none: no request that a client makes waits or is refused; "+cmp.Or(entry.Written("max_streams"), "any number of streams"))
		return
	}
	t.row("limits", entry.Written("max_in_flight", "max_queue", "queue_timeout", "max_streams"))
	if o.LimitPassing {
		t.row("held", "everything, also routes that are observed or off, requests outside of the share of a mode, and those without a route")
	} else {
		t.row("held", "all but routes that are observed or off, requests outside of the share of a mode, and those without a route: these count")
	}
	if o.FleetMaxInFlight > 0 {
		t.rowf("fleet", "%d in flight of all instances together: each takes its share, at most %d", o.FleetMaxInFlight, o.MaxInFlight)
	}
}

func upstreamTLSOf(c *tls.Config) string {
	if c == nil {
		return ""
	}
	text := "verified by the system's authorities"
	if c.RootCAs != nil {
		text = "verified by authorities of its own"
	}
	if c.ServerName != "" {
		text += " as " + c.ServerName
	}
	if len(c.Certificates) > 0 {
		leaf := c.Certificates[0].Leaf
		text += fmt.Sprintf("; shown %s until %s", leaf.Subject, leaf.NotAfter.Format(time.DateOnly))
	}
	return text
}

func reportRoute(t table, r *policy.Route, s *config.Snapshot) {
	t.title("route %s", r.Name)
	t.row("match", join(r.Patterns, policy.Pattern.String))
	t.row("where", where(r))
	t.row("upstream", r.Upstream)
	t.row("policy", r.Policy.String())
	if s.Boards[r.Name] == nil && (r.Mode != policy.On || partial(r)) {
		t.row("mode", map[policy.Mode]string{
			policy.On:      "on",
			policy.Observe: "observe: no copy is served, only compared with what the origin says",
			policy.Off:     "off: everything passes through",
		}[r.Mode]+outside(r))
	}
	if b := s.Boards[r.Name]; b != nil {
		if r.Mode != policy.On {
			t.row("mode", boardMode(r.Mode))
		}
		reportBoard(t, r, b, s)
		t.row("clients get", edited(r))
		return
	}
	t.row("worst staleness", staleness(r))
	t.row("on a miss", onMiss(r))
	if rules := s.Behind[r.Name]; rules != nil {
		t.row("a write", "is answered with 202 by the proxy, before the upstream has it: "+acceptance(rules))
		t.row("lost", lost(rules))
		t.row("tried again", triedAgain(rules))
		t.row("reads meanwhile", meanwhile(rules))
	} else {
		t.row("a write", onWrite(r))
	}
	t.row("one at a time", oneAtATime(r, s))
	if !r.WriteKey.Zero() {
		t.row("about", r.WriteKey.String()+": writes of one key that is queued are in an order")
	}
	t.row("clients get", edited(r))
	if s.Valkey != nil {
		t.row("store down", onStoreDown(r))
		t.row("no news", onLeaseLoss(r, s.Valkey))
	}
	if !r.Caches {
		return
	}
	t.row("keyed", keyed(r))
	t.row("query", queryRule(r.Query))
	t.row("forwarded", forwarded(r))
	t.row("purged by", purgedBy(r))
	t.row("lifetime", lifetime(r))
	entry := s.Entry("routes", r.Name)
	t.row("compressed", compressed(r))
	t.row("stored", entry.Part("store_if").Written())
	t.row("relaxed", entry.Unusual("override", "ignore_headers", "ignore_cookies", "strip_set_cookie", "share_authorized", "client_cache_control"))
}

// partial reports whether the mode applies only to a share of the requests.
func partial(r *policy.Route) bool { return r.ModeShare > 0 && r.ModeShare < 1 }

func outside(r *policy.Route) string {
	if !partial(r) {
		return ""
	}
	return "; for " + config.ShareText(r.ModeShare) + " of the requests, the others pass through"
}

func join[T any](list []T, text func(T) string) string {
	words := make([]string, len(list))
	for i, item := range list {
		words[i] = text(item)
	}
	return strings.Join(words, ", ")
}
