package e2e

import (
	"strings"
	"testing"
)

const minimal = `
upstreams: [{name: origin, url: "http://127.0.0.1:9"}]
routes: [{name: all, match: /, policy: cache-aside}]
`

// Every problem of a file is told at once, with its line and what to write instead, and nothing is started.
func TestServeRefusesFile(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, text string
		want       []string // each a part of the message, behind the file's path
	}{
		{"unknown key", minimal + "lissten: 127.0.0.1:0\n", []string{":3: lissten: unknown key; did you mean listen?"}},
		{"unknown key of a route", "upstreams: [{name: o, url: \"http://a\"}]\nroutes:\n  - {name: a, match: /, policy: cache-aside, tll: 5s}\n",
			[]string{":3: routes[0].tll: unknown key; did you mean ttl?"}},
		{"impossible combination", "upstreams: [{name: o, url: \"http://a\"}]\nroutes:\n  - {name: a, match: /, policy: bypass, ttl: 5s}\n",
			[]string{":3: routes[0].ttl: has no effect with policy: bypass"}},
		{"admin for everyone without tokens", minimal + "admin: {listen: 0.0.0.0:0}\n", []string{":3: admin.listen: ", "admin.tokens"}},
		{"several at once", `listen: nowhere
memory: {size: lots}
upstreams: [{name: o, url: "ftp://a"}]
routes:
  - {name: a, match: GET /a, upstream: other, policy: cache-aside}
  - {name: b, match: GET /a, policy: write-sideways}
`, []string{":1: listen: ", ":2: memory.size: ", ":3: upstreams[0].url: ", ":5: routes[0].upstream: ", ":6: routes[1].policy: "}},
		{"not YAML", "listen: [\n", []string{":1: "}},
		{"empty", "", []string{":1: the file is empty"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := writeFile(t, "bad.yaml", strings.TrimPrefix(c.text, "\n"))
			for _, command := range [][]string{{"serve", "--config", path}, {"check", path}} {
				got := run(t, nil, command...)
				if got.status != 1 {
					t.Errorf("%s: exit status %d", command[0], got.status)
				}
				said := got.out + got.err
				if command[0] == "serve" && (got.out != "" || strings.Contains(said, `"serving"`)) {
					t.Errorf("serve wrote %q", said)
				}
				for _, want := range c.want {
					if strings.HasPrefix(want, ":") {
						want = "bad.yaml" + want
					}
					if !strings.Contains(said, want) {
						t.Errorf("%s says %q, which has no %q", command[0], said, want)
					}
				}
			}
		})
	}
}

func TestServeRefusesArguments(t *testing.T) {
	o := newOrigin(t)
	taken := strings.TrimPrefix(o.url, "http://")
	config := writeFile(t, "good.yaml", minimal)
	for _, c := range []struct {
		name string
		args []string
		want string
	}{
		{"nothing to serve", nil, "--config"},
		{"both", []string{"--config", config, "--upstream", o.url}, "not both"},
		{"no such file", []string{"--config", "/nonexistent/x.yaml"}, "/nonexistent/x.yaml"},
		{"no URL", []string{"--upstream", "shop"}, "--upstream"},
		{"an argument too much", []string{"--upstream", o.url, "now"}, "now"},
		{"unknown flag", []string{"--upstreams", o.url}, "unknown flag: --upstreams"},
		{"data address in use", []string{"--upstream", o.url, "--admin", "127.0.0.1:0", "--listen", taken}, "open data listener: listen tcp " + taken},
		{"admin address in use", []string{"--upstream", o.url, "--listen", "127.0.0.1:0", "--admin", taken}, "open admin listener: listen tcp " + taken},
		{"admin for everyone", []string{"--upstream", o.url, "--listen", "127.0.0.1:0", "--admin", "0.0.0.0:0"}, "--admin"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := run(t, nil, append([]string{"serve"}, c.args...)...)
			if got.status != 1 || !strings.Contains(got.err, c.want) {
				t.Errorf("exit status %d, %q, want 1 and %q", got.status, got.err, c.want)
			}
		})
	}
	if o.count("GET /") != 0 {
		t.Error("the origin was asked")
	}
}

// Environment variables are where a container's overrides are; a wrong one is named like a line of the file.
func TestServeRefusesEnvironment(t *testing.T) {
	got := run(t, []string{"CACHEPROXY_MEMORY_SIZE=lots"}, "serve", "--config", writeFile(t, "good.yaml", minimal))
	if got.status != 1 || !strings.Contains(got.err, "environment CACHEPROXY_MEMORY_SIZE: ") {
		t.Errorf("exit status %d, %q", got.status, got.err)
	}
}
