package e2e

import (
	"encoding/json"
	"fmt"
	"runtime"
	"strings"
	"syscall"
	"testing"
)

// Each flag of purge takes away the copies that it names, and the exit status says that it holds.
func TestPurgeCommand(t *testing.T) {
	p := serveConfig(t, fmt.Sprintf(shopConfig, newOrigin(t).url))
	for _, c := range []struct {
		args          string
		second, other bool // whether the copies of /products/2 and /other/1 go too
	}{
		{"--key v2:product:1", false, false},
		{"--tag catalogue", true, false},
		{"--url /products/1", false, false},
		{"--prefix /products", true, false},
		{"--route product", true, false},
		{"--all --confirm", true, true},
		{"--key v2:product:1 --url /other/1 --wait local", false, true},
	} {
		t.Run(c.args, func(t *testing.T) {
			fill(t, p)
			got := run(t, nil, append([]string{"purge", "--admin", p.admin}, strings.Fields(c.args)...)...)
			if got.status != 0 || !strings.HasPrefix(got.out, "purge ") {
				t.Fatalf("exit status %d, %q %q", got.status, got.out, got.err)
			}
			wantHit(t, p.data+"/products/1", false)
			wantHit(t, p.data+"/products/2", !c.second)
			wantHit(t, p.data+"/other/1", !c.other)
		})
	}
	fill(t, p)
	if got := run(t, nil, "purge", "--admin", p.admin, "--tag", "catalogue", "--soft", "--json"); got.status != 0 || !json.Valid([]byte(got.out)) {
		t.Errorf("soft: exit status %d, %q %q", got.status, got.out, got.err)
	}
	if a := get(t, p.data+"/products/1"); !strings.Contains(a.cacheStatus(), "; detail=soft-purged") {
		t.Errorf("after a soft purge: %q", a.cacheStatus())
	}
	if got := run(t, nil, "purge", "--admin", p.admin, "--all"); got.status != 1 || !strings.Contains(got.err, "--confirm") {
		t.Errorf("purge of everything without --confirm: exit status %d, %q", got.status, got.err)
	}
	if got := run(t, nil, "purge", "--admin", p.admin); got.status != 1 || !strings.Contains(got.err, "[key tag url prefix route all]") {
		t.Errorf("purge of nothing: exit status %d, %q", got.status, got.err)
	}
}

func TestModeCommand(t *testing.T) {
	t.Parallel()
	p := serveConfig(t, fmt.Sprintf(shopConfig, newOrigin(t).url))
	mode := func(args ...string) {
		t.Helper()
		if got := run(t, nil, append([]string{"mode", "--admin", p.admin, "--route", "product"}, args...)...); got.status != 0 {
			t.Fatalf("mode %v: exit status %d, %q", args, got.status, got.err)
		}
	}
	gauge := func() string { return metric(t, p, `cacheproxy_mode{route="product"}`) }
	fill(t, p)
	mode("off")
	wantHit(t, p.data+"/products/1", false)
	wantHit(t, p.data+"/products/1", false)
	if got := gauge(); got != "2" {
		t.Errorf("the metric of mode off is %q", got)
	}
	mode("on")
	wantHit(t, p.data+"/other/1", true)
	get(t, p.data+"/products/1")
	wantHit(t, p.data+"/products/1", true)

	mode("observe")
	wantHit(t, p.data+"/products/1", false)
	wantHit(t, p.data+"/products/1", false)
	wantCounted(t, p, `cacheproxy_requests_total{code="2xx",outcome="would_differ",route="product"}`)

	mode("off", "--for", "1s")
	wantHit(t, p.data+"/products/2", false)
	eventually(t, "the configured mode is back", func() bool {
		get(t, p.data+"/products/2")
		return get(t, p.data+"/products/2").isHit() && gauge() == "0"
	})
	for _, args := range [][]string{{"paused"}, {"off", "--for", "-1s"}, {}} {
		if got := run(t, nil, append([]string{"mode", "--admin", p.admin, "--route", "product"}, args...)...); got.status != 1 || got.err == "" {
			t.Errorf("mode %v: exit status %d, %q", args, got.status, got.err)
		}
	}
	if got := run(t, nil, "mode", "--admin", p.admin, "--route", "nowhere", "off"); got.status != 1 || !strings.Contains(got.err, "there are: product, other, rest") {
		t.Errorf("mode of no route: exit status %d, %q", got.status, got.err)
	}
}

// metric is the value of one line of /metrics; "" where there is none.
func metric(t testing.TB, p *process, name string) string {
	t.Helper()
	for line := range strings.Lines(get(t, p.admin+"/metrics").body) {
		if value, ok := strings.CutPrefix(line, name+" "); ok {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// wantMetric waits until a metric has a value. A request is counted when its answer has ended, which its client may see first.
func wantMetric(t testing.TB, p *process, name, want string) {
	t.Helper()
	eventually(t, name+" is "+want, func() bool { return metric(t, p, name) == want })
}

// wantCounted waits until something has been counted.
func wantCounted(t testing.TB, p *process, name string) {
	t.Helper()
	eventually(t, name+" is counted", func() bool { n := metric(t, p, name); return n != "" && n != "0" })
}

func TestExplainCommand(t *testing.T) {
	o := newOrigin(t)
	p := serveConfig(t, fmt.Sprintf(shopConfig, o.url))
	explain := func(args ...string) string {
		t.Helper()
		got := run(t, nil, append([]string{"explain", "--admin", p.admin}, args...)...)
		if got.status != 0 {
			t.Fatalf("explain %v: exit status %d, %q", args, got.status, got.err)
		}
		return got.out
	}
	get(t, p.data+"/products/1")
	for _, c := range []struct {
		args []string
		want []string
	}{
		{[]string{"GET", p.data + "/products/1", "-H", "Accept:"}, []string{"decision: hit", "route: product", "name: v2:product:1", "tag:catalogue", "ledger: valid"}},
		{[]string{"GET", "/products/1", "-H", "Host: " + strings.TrimPrefix(p.data, "http://"), "-H", "Accept:"}, []string{"decision: hit"}},
		{[]string{"GET", p.data + "/products/9"}, []string{"decision: miss", "reason: uri-miss"}},
		{[]string{"GET", p.data + "/products/1", "-H", "Authorization: Basic eA=="}, []string{"decision: pass"}},
		{[]string{"GET", p.data + "/products/1?utm_source=x"}, []string{"decision: pass"}},
		{[]string{"PUT", p.data + "/products/1"}, []string{"decision: write"}},
		{[]string{"GET", p.data + "/products/1", "-H", "Accept:", "--json"}, []string{`"decision":"hit"`}},
		{[]string{"GET", p.data + "/products/1"}, []string{"decision: miss", "reason: vary-miss", "assumed:\n  - Accept: */*\n", "Accept: */*"}},
	} {
		out := explain(c.args...)
		for _, want := range c.want {
			if !strings.Contains(out, want) {
				t.Errorf("explain %v has no %q:\n%s", c.args, want, out)
			}
		}
	}
	if n := o.count("GET /products/1"); n != 1 {
		t.Errorf("the origin was asked %d times, want once: explain asks nothing", n)
	}
}

func TestHealthCommand(t *testing.T) {
	t.Parallel()
	p := serveConfig(t, fmt.Sprintf(drainConfig, newOrigin(t).url))
	health := func(args ...string) int {
		return run(t, nil, append([]string{"health", "--admin", p.admin}, args...)...).status
	}
	if ready, live := health(), health("--live"); ready != 0 || live != 0 {
		t.Errorf("serving: health %d, --live %d", ready, live)
	}
	p.signal(t, syscall.SIGTERM)
	p.line(t, "that it stops", func(line string) bool { return strings.Contains(line, `"msg":"stopping"`) })
	if ready, live := health(), health("--live"); ready != 1 || live != 0 {
		t.Errorf("draining: health %d, --live %d, want 1 and 0", ready, live)
	}
	if status := p.exit(t, patience); status != 0 {
		t.Errorf("exit status %d", status)
	}
	if got := run(t, nil, "health", "--admin", p.admin); got.status != 1 || !strings.Contains(got.err, "is it running") {
		t.Errorf("after its end: exit status %d, %q", got.status, got.err)
	}
}

func TestCheckAndVersion(t *testing.T) {
	file := writeFile(t, "shop.yaml", fmt.Sprintf(shopConfig, "http://127.0.0.1:9"))
	if got := run(t, nil, "check", file); got.status != 0 || !strings.Contains(got.out, "is valid: 1 upstream, 3 routes") {
		t.Errorf("check: exit status %d, %q %q", got.status, got.out, got.err)
	}
	if got := run(t, nil, "check", "../../../config.example.yaml"); got.status != 1 {
		t.Errorf("check of a file that is not there: exit status %d", got.status)
	}
	if got := run(t, nil, "version"); got.status != 0 || !strings.HasPrefix(got.out, "cacheproxy ") || !strings.Contains(got.out, runtime.Version()) {
		t.Errorf("version: exit status %d, %q", got.status, got.out)
	}
	if got := run(t, nil, "serrve"); got.status != 1 || !strings.Contains(got.err, "unknown command") {
		t.Errorf("a command that does not exist: exit status %d, %q", got.status, got.err)
	}
}
