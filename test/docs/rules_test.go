package docs

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// Every rule finds what breaks it, and nothing in what does not.
func TestRulesCatch(t *testing.T) {
	p := readProgram(t)
	names := func(d *document) []string { return checkNames(d, p) }
	for _, c := range []struct {
		name  string
		check func(d *document) []string
		text  string
		want  string // in a finding; empty: there is none
	}{
		{"metric", names, "`cacheproxy_requests_total{route,outcome}`", ""},
		{"unknown metric", names, "`cacheproxy_request_total`", "no metric"},
		{"unknown metric in a block", names, "```promql\nrate(cacheproxy_hits_total[1m])\n```", "no metric"},
		{"unknown label", names, "`cacheproxy_requests_total{colour}`", "no label"},
		{"unknown reason", names, "`detail=cookies`", "no reason"},
		{"unknown reason of a metric", names, "`cacheproxy_not_stored_total{reason=\"no-storage\"}`", "no reason"},
		{"variable", names, "`CACHEPROXY_MEMORY_SIZE`", ""},
		{"unknown variable", names, "`CACHEPROXY_MEMORY_BOUND`", "overrides no key"},
		{"unknown target", names, "`make deploy`", "no target"},
		{"unknown target in a block", names, "```sh\nmake deploy\n```", "no target"},
		{"unknown command", names, "`cacheproxy flush`", "no command"},
		{"flag", names, "`cacheproxy purge --key NAME --soft`", ""},
		{"unknown flag", names, "`cacheproxy purge --keys NAME`", "no flag"},
		{"flag of another command", names, "`cacheproxy health --soft`", "no flag"},
		{"flag alone", names, "`--token`", "no flag"},
		{"call", names, "`GET /explain`", ""},
		{"unknown call", names, "`GET /status`", "no call"},
		{"key", names, "`on_lease_loss: serve_stale`", ""},
		{"unknown key", names, "`on_lease_lost: serve_stale`", "no key"},
		{"unknown path of keys", names, "`memory.max_objects`", "no key"},
		{"unknown file", names, "`deploy/nomad`", "no such file"},
		{"header", names, "`X-Forwarded-Proto`", ""},
		{"family of headers", names, "`X-B3-*`", ""},
		{"unknown header", names, "`X-Forwarded-Colour`", "no field"},
		{"unknown word", names, "`evictions_seconds`", "no such word"},
		{"code over the end of a line", names, "a `cacheproxy\nflush`", "no command"},
		{"unknown test", names, "`TestNonsense`", "no test"},
		{"go test", names, "`go test ./invalidation/fleet -run TestSimulation -args -sim-time 5m`", ""},
		{"go test of an unknown test", names, "`go test ./invalidation/fleet -run 'Nonsense$/x'`", "no test Nonsense"},
		{"go test with an unknown flag", names, "`go test ./invalidation/fleet -args -during 5m`", "no flag"},
		{"go test of an unknown package", names, "```text\ngo test ./invalidation/fleets\n```", "no package"},
		{"go test in a folder", names, "`go test -C invalidation ./fleet -run TestSimulation`", ""},
		{"go run with an unknown flag", names, "`go run ./invalidation/fleet --how-long=20s`", "no flag"},

		{"link", checkLinks, "[x](docs/goals.md#not-goals)", ""},
		{"link within", checkLinks, "# A b, c\n\n[x](#a-b-c)", ""},
		{"link to nothing", checkLinks, "[x](docs/goal.md)", "not there"},
		{"link to no heading", checkLinks, "[x](docs/goals.md#no-goals)", "no such heading"},
		{"link within to no heading", checkLinks, "# A\n\n[x](#b)", "no such heading"},

		{"block", checkLanguages, "```sh\ntrue\n```", ""},
		{"block without a language", checkLanguages, "```\ntrue\n```", "which are run"},
		{"block of text", checkLanguages, "```text\ntrue\n```", "figures and drawings"},
		{"excuse", checkLanguages, "<!-- not run: later -->\n```sh\nfalse\n```", "does not say why"},

		{"figure", checkFigures, "a hit takes 0.9 µs", "evidence"},

		{"reasons", func(d *document) []string { return checkReasonTable(d, "A", p) }, "# A\n\n| word | x |\n| --- | --- |\n| `cookies` | x |", "cookie is missing"},
		{"reasons of nothing", func(d *document) []string { return checkReasonTable(d, "A", p) }, "# A\n\n| word | x |\n| --- | --- |\n| `cookies` | x |", "cookies is none"},
		{"metrics", func(d *document) []string { return checkMetricTable(d, "A", p) }, "# A\n\n| metric | x |\n| --- | --- |\n| `cacheproxy_a` | x |", "cacheproxy_shed_total is missing"},
		{"commands", func(d *document) []string { return checkCommandTable(d, "A", p) }, "# A\n\n| command | x |\n| --- | --- |\n| `serve` | x |", "purge is missing"},
	} {
		t.Run(c.name, func(t *testing.T) { expect(t, c.check(parseDocument("sample.md", c.text)), c.want) })
	}
}

// Every kind of block is run, and fails where it does not do what it shows.
func TestBlocksAreRun(t *testing.T) {
	for _, c := range []struct{ name, text, want string }{
		{"configuration", "```yaml\n  - name: a\n    match: /\n    policy: bypass\n```", ""},
		{"section", "```yaml\nmemory: {size: 1GiB}\n```", ""},
		{"unknown key", "```yaml\nmemory: {sizes: 1GiB}\n```", "check does not accept"},
		{"session", "```console\n$ cacheproxy purge --key a\npurge x-1: holds everywhere since position 9 (7 ms)\n...\n```", ""},
		{"another answer", "```console\n$ cacheproxy purge --key a\npurge x-1: recorded\n...\n```", "printed:"},
		{"more than is shown", "```console\n$ cacheproxy purge --key a\npurge x-1: holds everywhere since position 9 (7 ms)\n```", "printed:"},
		{"another status", "```console\n$ curl -i http://127.0.0.1:8080/products/17\nHTTP/1.1 404 Not Found\n...\n```", "printed:"},
		{"another number of instances", "```console\n$ curl -X DELETE http://127.0.0.1:8081/keys/a\n{\"id\":\"x-1\",\"seq\":1,\"instances\":2,\"acked\":[\"x\",\"y\"],\"reaped\":[],\"took_ms\":1}\n```", "printed:"},
		{"a command that fails", "```console\n$ cacheproxy flush\n```", "printed:"},
		{"no session", "```console\ncacheproxy version\n```", "begins with $"},
		{"a reload that changes nothing", "```console\n$ cacheproxy reload\nroutes[a].ttl changed\n```", "printed:"},
		{"metrics that are not there", "```console\n$ curl http://127.0.0.1:8081/metrics | grep -c '^cacheproxy_mode{'\n7\n```", "printed:"},
		{"script", "```sh\ncurl http://127.0.0.1:8080/products/17\n```", ""},
		{"a script that fails", "```sh\ncurl http://127.0.0.1:8081/nothing\ntrue\n```", "exit status"},
		{"target", "```sh\nmake check\n```", ""},
		{"unknown target", "```sh\nmake nothing\n```", "No rule"},
		{"excused", "<!-- not run: for this test -->\n```sh\nfalse\n```", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if strings.Contains(c.text, "curl ") {
				if _, err := exec.LookPath("curl"); err != nil {
					t.Skip("not checked: curl is not installed (Debian: package curl)")
				}
			}
			expect(t, checkBlocks(parseDocument("sample.md", c.text), newStage(t, "sample.md")), c.want)
		})
	}
}

func expect(t *testing.T, findings []string, want string) {
	t.Helper()
	if want == "" && len(findings) > 0 {
		t.Errorf("found %q, want nothing", findings)
	}
	if want != "" && !slices.ContainsFunc(findings, func(f string) bool { return strings.Contains(f, want) }) {
		t.Errorf("found %q, want %q", findings, want)
	}
}
