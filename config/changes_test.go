package config

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"cacheproxy/test/certificates"
)

// changesOf tells what becomes of a configuration that is replaced, restarts marked with "!".
func changesOf(t *testing.T, before, after *Snapshot) string {
	t.Helper()
	var list []string
	for _, c := range after.Changes(before) {
		text := c.String()
		if c.Restart {
			text = "!" + text
		}
		list = append(list, text)
	}
	return strings.Join(list, ", ")
}

func TestChanges(t *testing.T) {
	const routes = "routes:\n  - {name: a, match: /a, policy: cache-aside, ttl: 1m}\n"
	for _, c := range []struct{ before, after, want string }{
		{"", "", ""},
		{"listen: :1\n", "listen: :2\n", "!listen changed"},
		{"", "listen: 127.0.0.1:8080\n", ""}, // the default, written
		{"", "reuse_port: true\nh2c: true\n", "!h2c changed, !reuse_port changed"},
		{"", "drain_delay: 1s\nshutdown_timeout: 1s\n", "drain_delay changed, shutdown_timeout changed"},
		{"", "limits: {max_connections: 7, max_body: 1MiB}\n", "limits.max_body changed, !limits.max_connections changed"},
		{"", "log: {level: warn, format: text, hits: 5%}\n", "!log.format changed, log.hits changed, log.level changed"},
		{"", "tracing: {endpoint: \"http://127.0.0.1:4318\"}\n", "!tracing.endpoint changed"},
		{"", "memory: {size: 1GiB, max_object: 1MiB}\n", "memory.max_object changed, memory.size changed"},
		{"", "valkey: {url: \"valkey://a\", lease: 2s}\n", "!valkey.lease changed, !valkey.url changed"},
		{"", "postgres: {url: \"postgres://127.0.0.1\", feeds: [{table: a, tags: [b]}]}\n", "!postgres changed, !postgres.feeds[a] added, !postgres.url changed"},
		{"postgres: {url: \"postgres://127.0.0.1\", feeds: [{table: a, tags: [b]}]}\n", "postgres: {url: \"postgres://127.0.0.1\", feeds: [{table: a, tags: [c]}, {table: d, tags: [b]}]}\n",
			"postgres.feeds[a].tags changed, postgres.feeds[d] added"},
		{"", "trusted_proxies: [10.0.0.0/8]\ncache_status_key: true\n", "cache_status_key changed, trusted_proxies changed"},
		{"", "admin: {listen: \"127.0.0.1:1\", tokens: [{name: a, token: 0123456789abcdef, allow: [all]}]}\n",
			"!admin.listen changed, admin.tokens[a] added"},
		{"admin: {tokens: [{name: a, token: 0123456789abcdef, allow: [all]}]}\n", "admin: {tokens: [{name: a, token: 0123456789abcdeX, allow: [all]}]}\n",
			"admin.tokens[a].token changed"},
		{routes, routes + "  - {name: b, match: /b, policy: bypass}\n", "routes[b] added"},
		{routes + "  - {name: b, match: /b, policy: bypass}\n", "routes:\n  - {name: b, match: /b, policy: bypass}\n", "routes[a] removed"},
		{routes, strings.Replace(routes, "1m", "2m", 1), "routes[a].ttl changed"},
		{routes, strings.Replace(routes, "ttl: 1m", "query: {include: [x]}, where: {}", 1), "routes[a].query.include changed, routes[a].ttl changed, routes[a].where changed"},
		{routes + "  - {name: b, match: /b, policy: bypass}\n", "routes:\n  - {name: b, match: /b, policy: bypass}\n" + routes[len("routes:\n"):], ""}, // order means nothing
	} {
		before, after := mustLoad(t, oneUpstream+c.before), mustLoad(t, oneUpstream+c.after)
		if got := changesOf(t, before, after); got != c.want {
			t.Errorf("%q\n→ %q\ngot  %s\nwant %s", c.before, c.after, got, c.want)
		}
	}
	a, b := "  - {name: a, url: \"http://127.0.0.1:1\"}\n", "  - {name: b, url: \"http://127.0.0.1:2\"}\n"
	if got := changesOf(t, mustLoad(t, "upstreams:\n"+a+b), mustLoad(t, "upstreams:\n"+b+a)); got != "upstreams changed" {
		t.Errorf("another upstream is the first: %q", got)
	}
	if got := changesOf(t, mustLoad(t, "upstreams:\n"+a+b), mustLoad(t, "upstreams:\n"+a+strings.Replace(b, "}", ", max_in_flight: 1}", 1))); got != "upstreams[b].max_in_flight changed" {
		t.Errorf("an upstream's limit: %q", got)
	}
}

// The content of a file counts as the value of the key that names it.
func TestChangesOfFiles(t *testing.T) {
	dir, authority := t.TempDir(), certificates.NewAuthority(t, "authority")
	authority.Write(dir, "server", "localhost")
	write(t, filepath.Join(dir, "ca.pem"), string(authority.PEM))
	write(t, filepath.Join(dir, "token"), "0123456789abcdef")
	file := filepath.Join(dir, "cacheproxy.yaml")
	plain := "upstreams: [{name: api, url: \"https://127.0.0.1\", ca: ca.pem}]\nadmin: {tokens: [{name: a, token: \"${file:token}\", allow: [all]}]}\n"
	read := func(text string) *Snapshot {
		write(t, file, text)
		s, err := Load(file, Overrides{})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	before := read(plain)
	secured := read(plain + "tls: {cert: cert.pem, key: key.pem}\n")
	if got := changesOf(t, before, secured); got != "!tls changed, !tls.cert changed, !tls.key changed" {
		t.Errorf("switched on: %s", got)
	}
	authority.Write(dir, "server", "localhost")
	write(t, filepath.Join(dir, "ca.pem"), string(certificates.NewAuthority(t, "another").PEM))
	write(t, filepath.Join(dir, "token"), "fedcba9876543210")
	if !secured.Sources.Changed() {
		t.Error("files have changed, and the sources do not say so")
	}
	renewed := read(plain + "tls: {cert: cert.pem, key: key.pem}\n")
	if got := changesOf(t, secured, renewed); got != "admin.tokens[a].token changed, tls.cert changed, tls.key changed, upstreams[api].ca changed" {
		t.Errorf("files: %s", got)
	}
	if renewed.Sources.Changed() {
		t.Error("nothing has changed since")
	}
}

// Sources are known also of a configuration that is refused, since one of them may mend it.
func TestSources(t *testing.T) {
	dir := folder(t)
	file, token := filepath.Join(dir, "cacheproxy.yaml"), filepath.Join(dir, "token")
	write(t, file, oneUpstream+"tls: {cert: cert.pem, key: none.pem}\nadmin: {tokens: [{name: a, token: \"${file:token}\", allow: [all]}]}\n")
	_, sources, err := Source{File: file}.Read()
	if err == nil {
		t.Fatal("no problem")
	}
	var want []string
	for _, name := range []string{"cacheproxy.yaml", "cert.pem", "none.pem", "token"} {
		want = append(want, filepath.Join(dir, name))
	}
	if got := sources.paths(); !slices.Equal(got, want) {
		t.Errorf("sources %v, want %v", got, want)
	}
	if sources.Changed() {
		t.Error("changed at once")
	}
	write(t, token, "0123456789abcdef")
	if !sources.Changed() {
		t.Error("a file that was missing has come")
	}
	_, sources, _ = Source{File: file}.Read()
	if err := os.Remove(token); err != nil {
		t.Fatal(err)
	}
	if !sources.Changed() {
		t.Error("a file is gone")
	}
	if err := os.Mkdir(token, 0o700); err != nil || !sources.Changed() {
		t.Errorf("a folder took its place: %v", err)
	}
}

// What a file that has become invalid does not say any more is taken from what it said; what other files say is new.
func TestRenew(t *testing.T) {
	dir := folder(t)
	file, token := filepath.Join(dir, "cacheproxy.yaml"), filepath.Join(dir, "token")
	write(t, token, "0123456789abcdef")
	write(t, file, oneUpstream+"admin: {tokens: [{name: a, token: \"${file:token}\", allow: [all]}]}\n")
	source := Source{File: file}
	before, _, err := source.Read()
	if err != nil {
		t.Fatal(err)
	}
	write(t, file, "broken")
	write(t, token, "fedcba9876543210")
	after, err := source.Renew(before)
	if err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(changesOf(t, before, after), " ", string(after.Admin.Tokens[0].Secret)); got != "admin.tokens[a].token changed fedcba9876543210" {
		t.Errorf("renewed: %s", got)
	}
	again, err := source.Renew(after)
	if err != nil || len(again.Changes(after)) > 0 {
		t.Errorf("renewed again: %v, %v", again.Changes(after), err)
	}
}

// A configuration that came through a pipe is not there to be read again.
func TestSourcesOfPipe(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if _, err := w.WriteString(oneUpstream); err != nil {
		t.Fatal(err)
	}
	w.Close()
	_, sources, err := Source{File: fmt.Sprintf("/dev/fd/%d", r.Fd())}.Read()
	if err != nil || len(sources.paths()) > 0 {
		t.Errorf("sources %v: %v", sources.paths(), err)
	}
}
