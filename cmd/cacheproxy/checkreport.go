package main

import (
	"bytes"
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

// table is lines of a name and a text, aligned.
type table struct{ w *tabwriter.Writer }

// row adds a line, unless there is nothing to say.
func (t table) row(name, text string) {
	if text != "" {
		fmt.Fprintf(t.w, "  %s\t%s\n", name, text) // the buffer below does not fail
	}
}

func (t table) title(format string, args ...any) {
	fmt.Fprintf(t.w, "\n"+format+"\n", args...)
}

// report prints what a valid configuration means.
func report(out io.Writer, file string, s *config.Snapshot) error {
	var b bytes.Buffer
	t := table{tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)}
	fmt.Fprintf(t.w, "%s is valid: %s, %s, %s\n", file, count(len(s.Upstreams), "upstream"), count(len(s.Routes), "route"),
		count(len(s.Warnings), "warning"))
	reportServer(t, s)
	if s.Valkey != nil {
		reportValkey(t, s.Valkey)
	}
	for _, o := range s.Upstreams {
		reportUpstream(t, o, s)
	}
	for _, r := range s.Routes {
		reportRoute(t, r, s.Valkey)
	}
	if err := t.w.Flush(); err != nil {
		return fmt.Errorf("align report: %w", err)
	}
	if _, err := out.Write(b.Bytes()); err != nil {
		return fmt.Errorf("print report: %w", err)
	}
	return nil
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
	t.row("drain", fmt.Sprintf("%s, then %s to finish", short(s.DrainDelay), short(s.ShutdownTimeout)))
	t.row("limits", limitsOf(s))
	t.row("access log", fmt.Sprintf("%s of hits, %s of the rest, all errors", percent(s.Log.Hits), percent(s.Log.Others)))
	if s.Tracing != nil {
		t.row("tracing", fmt.Sprintf("%s of requests, and all that belong to a sampled trace, to %s as %s", percent(s.Tracing.Sample), s.Tracing.Endpoint, s.Tracing.Service))
	}
	memory := fmt.Sprintf("memory of this process, which cannot be down: %s, copies up to %s", bytesOf(s.Memory.Size), bytesOf(s.Memory.MaxObject))
	if s.Memory.GoLimit > 0 {
		memory += ", Go memory limit " + bytesOf(s.Memory.GoLimit)
	}
	if s.Valkey != nil {
		memory += "; then Valkey, below"
	}
	t.row("store", memory)
	t.row("reload", "at SIGHUP, POST /reload, and when its files change; a restart is needed for "+strings.Join(config.RestartKeys(), ", "))
}

func tlsOf(l *config.TLS) string {
	leaf := l.Certificate.Leaf
	return fmt.Sprintf("%s or later, as %s until %s", tls.VersionName(l.MinVersion), leaf.Subject, leaf.NotAfter.Format(time.DateOnly))
}

func limitsOf(s *config.Snapshot) string {
	l := s.Limits
	text := fmt.Sprintf("%d connections", l.MaxConnections)
	if l.MaxPerClient > 0 {
		text += fmt.Sprintf(", %d of one address", l.MaxPerClient)
	}
	text += fmt.Sprintf("; header %s within %s", bytesOf(int64(l.MaxHeaderBytes)), short(l.ReadHeaderTimeout))
	text += fmt.Sprintf("; idle %s, body stalled %s, answer stalled %s", short(l.IdleTimeout), short(l.BodyTimeout), short(l.WriteTimeout))
	if s.MaxBody > 0 {
		text += "; body " + bytesOf(s.MaxBody)
	}
	return text
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
	t.row("limits", fmt.Sprintf("%d in flight, %s waiting for %s at most, %s", o.MaxInFlight, orNone(o.MaxQueue), short(o.QueueTimeout), count(max(o.MaxStreams, 0), "stream")))
	t.row("timeout", fmt.Sprintf("%s to the response header, %s of it to connect; %s between two parts of the body",
		short(o.Timeout), short(o.DialTimeout), short(o.ReadTimeout)))
	if o.FleetMaxInFlight > 0 && s.Valkey != nil {
		t.row("fleet", fmt.Sprintf("%d in flight of all instances together: each takes its share, at most %d", o.FleetMaxInFlight, o.MaxInFlight))
	}
	if d := s.Settle[o.Name]; d > 0 {
		t.row("settle", "what is invalidated is invalidated once more after "+short(d))
	}
	t.row("tls", upstreamTLSOf(o.TLS))
	t.row("health", healthOf(o))
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

func healthOf(o upstream.Options) string {
	if o.Health.Path == "" {
		return ""
	}
	text := fmt.Sprintf("GET %s every %s, %s to answer", o.Health.Path, short(o.Health.Interval), short(o.Health.Timeout))
	if len(o.Replicas) == 0 {
		text += "; measured only, an only address stays in use"
	}
	return text
}

// orNone prints a limit whose zero stands below zero.
func orNone(n int) string {
	if n < 0 {
		return "none"
	}
	return fmt.Sprint(n)
}

func reportRoute(t table, r *policy.Route, shared *config.Valkey) {
	t.title("route %s", r.Name)
	t.row("match", join(r.Patterns, policy.Pattern.String))
	t.row("where", where(r))
	t.row("upstream", r.Upstream)
	t.row("policy", r.Policy.String())
	if r.Mode != policy.On || partial(r) {
		t.row("mode", map[policy.Mode]string{
			policy.On:      "on",
			policy.Observe: "observe: no copy is served, only compared with what the origin says",
			policy.Off:     "off: everything passes through",
		}[r.Mode]+outside(r))
	}
	t.row("worst staleness", staleness(r))
	t.row("on a miss", onMiss(r))
	t.row("a write", onWrite(r))
	t.row("store down", onStoreDown(r))
	if shared != nil {
		t.row("no news", onLeaseLoss(r, shared))
	}
	if !r.Caches {
		return
	}
	t.row("keyed", keyed(r))
	t.row("query", queryRule(r.Query))
	t.row("forwarded", forwarded(r))
	t.row("purged by", purgedBy(r))
	t.row("lifetime", lifetime(r))
	t.row("stored", stored(r))
	t.row("relaxed", relaxed(r))
}

// partial reports whether the mode is for a share of the requests only.
func partial(r *policy.Route) bool { return r.ModeShare > 0 && r.ModeShare < 1 }

func outside(r *policy.Route) string {
	if !partial(r) {
		return ""
	}
	return "; for " + percent(r.ModeShare) + " of the requests, the others pass through"
}

// short prints a duration without zeros at the end.
func short(d time.Duration) string {
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

func percent(share float64) string { return fmt.Sprintf("%.4g%%", share*100) }

// bytesOf prints a size in the largest unit that it is a whole number of.
func bytesOf(n int64) string {
	units := []string{"B", "KiB", "MiB", "GiB", "TiB"}
	i := 0
	for ; n >= 1024 && n%1024 == 0 && i < len(units)-1; i++ {
		n /= 1024
	}
	return fmt.Sprint(n) + units[i]
}

func join[T any](list []T, text func(T) string) string {
	words := make([]string, len(list))
	for i, item := range list {
		words[i] = text(item)
	}
	return strings.Join(words, ", ")
}
