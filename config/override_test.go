package config

import (
	"errors"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"

	"cacheproxy/policy"
	"cacheproxy/policy/httpcache"
)

func flags(t *testing.T, args ...string) Overrides {
	t.Helper()
	set := pflag.NewFlagSet("serve", pflag.ContinueOnError)
	set.String("listen", "flag default", "")
	set.String("admin", "flag default", "")
	if err := set.Parse(args); err != nil {
		t.Fatal(err)
	}
	return Overrides{Flags: set}
}

// Flags win over the environment, which wins over the file, which wins over the defaults.
func TestOverrides(t *testing.T) {
	file := []byte(oneUpstream + "listen: 127.0.0.1:1\ndrain_delay: 1s\nadmin: {listen: \"127.0.0.1:2\"}\n")
	t.Setenv("CACHEPROXY_LISTEN", "127.0.0.1:3")
	t.Setenv("CACHEPROXY_MEMORY_SIZE", "64MiB")
	cert := filepath.Join(folder(t), "cert.pem")
	t.Setenv("CACHEPROXY_TLS_CERT", cert)
	t.Setenv("CACHEPROXY_TLS_KEY", filepath.Join(filepath.Dir(cert), "key.pem"))
	t.Setenv("CACHEPROXY_DRAIN_DELAY", "") // empty: unset
	for _, test := range []struct {
		args          []string
		listen, admin string
	}{
		{nil, "127.0.0.1:3", "127.0.0.1:2"},
		{[]string{"--listen", "127.0.0.1:4", "--admin=127.0.0.1:5"}, "127.0.0.1:4", "127.0.0.1:5"},
	} {
		s, err := Parse("cacheproxy.yaml", file, flags(t, test.args...))
		if err != nil {
			t.Fatal(err)
		}
		if s.Listen != test.listen || s.Admin.Listen != test.admin {
			t.Errorf("%v: listen %q, admin %q", test.args, s.Listen, s.Admin.Listen)
		}
		if s.Memory.Size != 64<<20 || s.DrainDelay != time.Second || s.TLS == nil || s.TLS.cert != cert {
			t.Errorf("%v: %+v", test.args, s)
		}
	}
}

// A bad value names where it came from.
func TestOverrideProblems(t *testing.T) {
	t.Setenv("CACHEPROXY_LOG_HITS", "few")
	t.Setenv("CACHEPROXY_LISTEN", "nowhere")
	_, err := Parse("cacheproxy.yaml", []byte(oneUpstream), flags(t, "--admin", ":8081"))
	want := `environment CACHEPROXY_LISTEN: "nowhere" is not an address; write 127.0.0.1:8080, or :8080 for every interface
environment CACHEPROXY_LOG_HITS: "few" is not a percentage; write 10%
flag --admin: ":8081" can be reached from other machines, which needs admin.tokens; write them, or listen on 127.0.0.1`
	if err == nil || err.Error() != want {
		t.Errorf("got:\n%v\nwant:\n%s", err, want)
	}
}

// A problem of the file does not go away because the value is overridden.
func TestOverrideKeepsProblemsOfTheFile(t *testing.T) {
	t.Setenv("CACHEPROXY_DRAIN_DELAY", "3s")
	_, err := Parse("cacheproxy.yaml", []byte(oneUpstream+"drain_delay: soon"), Overrides{})
	if err == nil || !strings.HasPrefix(err.Error(), "cacheproxy.yaml:2: drain_delay: ") {
		t.Errorf("Load = %v", err)
	}
}

func TestMemoryAuto(t *testing.T) {
	old := memoryLimit
	t.Cleanup(func() { memoryLimit = old })
	memoryLimit = func() (uint64, error) { return 1000 << 20, nil }
	t.Setenv("CACHEPROXY_MEMORY_SIZE", "auto")
	s := mustLoad(t, oneUpstream)
	if s.Memory.Size != 500<<20 || s.Memory.GoLimit != 400<<20 {
		t.Errorf("memory: %+v", s.Memory)
	}
	memoryLimit = func() (uint64, error) { return 0, errNoLimit }
	_, err := load1(t, oneUpstream)
	want := "environment CACHEPROXY_MEMORY_SIZE: auto finds no memory limit (no limit); write a size such as 512MiB"
	if err == nil || err.Error() != want {
		t.Errorf("Load = %v", err)
	}
}

var errNoLimit = errors.New("no limit")

// Without a file the proxy is a plain RFC 9111 cache of one origin.
func TestForUpstream(t *testing.T) {
	s, _, err := forUpstream("https://api.example:8443", flags(t, "--listen", ":9"))
	if err != nil {
		t.Fatal(err)
	}
	if len(s.Upstreams) != 1 || s.Upstreams[0].URL.String() != "https://api.example:8443" || s.Listen != ":9" {
		t.Errorf("snapshot: %+v", s)
	}
	r := s.Route("everything")
	if r == nil || r.Policy != policy.CacheAside || r.TTL != 0 || r.Jitter != 0 || r.Query.Unlisted != policy.UnlistedKey ||
		r.ForwardHeaders != policy.ForwardAll || r.MaxWaiters != 10_000 || r.WaitTimeout != time.Minute {
		t.Errorf("route: %+v", r)
	}
	if m, _ := s.Table.Match("GET", httpcache.Target{Scheme: "http", Host: "any", Path: "/a/b"}, nil, netip.Addr{}); m.Route != r {
		t.Errorf("the route does not match everything")
	}
	if len(s.Warnings) != 1 || !strings.HasPrefix(s.Warnings[0].String(), "flag --upstream: leaves max_in_flight unset, which only a file can set (serve --config FILE): no request that a client makes waits or is refused") {
		t.Errorf("warnings: %v", s.Warnings)
	}
}

func TestForUpstreamProblems(t *testing.T) {
	_, _, err := forUpstream("api.example", Overrides{})
	want := "flag --upstream: is not the URL of a server; write http://host:port, https://host:port or h2c://host:port"
	if err == nil || err.Error() != want {
		t.Errorf("ForUpstream = %v", err)
	}
}

// A variable that looks like an override and is none has no effect, and is refused; not those that the file fills in, those of
// commands, and those that Kubernetes sets.
func TestUnknownVariables(t *testing.T) {
	t.Setenv("CACHEPROXY_MEMROY_SIZE", "64MiB")
	t.Setenv("CACHEPROXY_SHOP_PASSWORD_THAT_NOBODY_READS", "x")
	t.Setenv("CACHEPROXY_FOO", "x") // is like nothing
	t.Setenv("CACHEPROXY_EMPTY", "")
	t.Setenv("CACHEPROXY_PREFIX_OF_KEYS", "v2")
	t.Setenv("CACHEPROXY_ADMIN", "http://127.0.0.1:8081")
	for _, link := range []string{"CACHEPROXY_SERVICE_HOST", "CACHEPROXY_SERVICE_PORT", "CACHEPROXY_SERVICE_PORT_HTTP", "CACHEPROXY_PORT", "CACHEPROXY_ADMIN_PORT_8081_TCP", "CACHEPROXY_PORT_8080_TCP_ADDR"} {
		t.Setenv(link, "tcp://10.0.0.1:8080")
	}
	_, err := Parse("cacheproxy.yaml", []byte(oneUpstream+"log: {level: \"${CACHEPROXY_PREFIX_OF_KEYS:-info}\"}\n"), Overrides{})
	for _, want := range []string{
		"environment CACHEPROXY_MEMROY_SIZE: overrides no key: did you mean CACHEPROXY_MEMORY_SIZE?",
		"environment CACHEPROXY_FOO: overrides no key: unset it",
		"environment CACHEPROXY_SHOP_PASSWORD_THAT_NOBODY_READS: overrides no key: unset it, or fill it into the file with ${CACHEPROXY_SHOP_PASSWORD_THAT_NOBODY_READS}",
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v\n  does not say %s", err, want)
		}
	}
	if err != nil && strings.Count(err.Error(), "overrides no key") != 3 {
		t.Errorf("refused besides: %v", err)
	}
}
