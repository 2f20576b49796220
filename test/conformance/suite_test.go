package conformance

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"cacheproxy/test/servers"
)

// patience is how long anything may take that is expected to happen.
const patience = 2 * time.Minute

// suite is the installed suite and the built proxy.
type suite struct{ dir, node, program string }

// install makes sure that the suite is there, at the version and with the digests of package-lock.json.
func install(t *testing.T) suite {
	t.Helper()
	node, err := exec.LookPath("node")
	if err != nil {
		missing(t, "node is not installed")
	}
	npm, err := exec.LookPath("npm")
	if err != nil {
		missing(t, "npm is not installed")
	}
	dir, err := filepath.Abs("suite")
	if err != nil {
		t.Fatal(err)
	}
	if !current(dir) {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		ci := exec.CommandContext(ctx, npm, "ci", "--ignore-scripts")
		ci.Dir = dir
		if out, err := ci.CombinedOutput(); err != nil {
			missing(t, "npm ci: "+err.Error()+"\n"+string(out))
		}
		if err := os.WriteFile(stamp(dir), lock(dir), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	program, err := servers.BuildCacheproxy(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return suite{dir: dir, node: node, program: program}
}

func missing(t *testing.T, why string) {
	t.Helper()
	const need = "; the suite needs node, npm and a registry to be installed from"
	if *require {
		t.Fatal(why + need)
	}
	t.Skip("conformance is NOT tested: " + why + need)
}

// current reports whether what is installed is what the lock file says.
func current(dir string) bool {
	installed, err := os.ReadFile(stamp(dir))
	return err == nil && bytes.Equal(installed, lock(dir))
}

func stamp(dir string) string { return filepath.Join(dir, "node_modules", "installed.json") }

func lock(dir string) []byte {
	text, err := os.ReadFile(filepath.Join(dir, "package-lock.json"))
	if err != nil {
		return []byte(err.Error())
	}
	return text
}

// running is the suite's server with the proxy before it.
type running struct {
	suite suite
	proxy string // URL
	known string // file with the results so far; "-": none
}

// start starts both on ports of their own; they end with the test.
func (s suite) start(t *testing.T, args func(t *testing.T, upstream string) []string) *running {
	t.Helper()
	dir := t.TempDir()
	back := launch(t, servers.Command{
		Path: s.node, Args: []string{"--no-warnings", "server/server.mjs"}, Ready: "Listening on",
		Dir: filepath.Join(s.dir, "node_modules", "http-cache-tests"),
		Env: append(environment(), "npm_config_protocol=http", "npm_config_port=0", "npm_config_pidfile="+filepath.Join(dir, "pid")),
	})
	origin := "http://127.0.0.1:" + found(t, back, `Listening on http://\S*:([0-9]+)/`)
	front := launch(t, servers.Command{
		Path: s.program, Args: append([]string{"serve", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"}, args(t, origin)...),
		Env: environment(), Ready: `"msg":"serving"`,
	})
	return &running{suite: s, proxy: "http://" + found(t, front, `"listen":"([^"]+)"`), known: "-"}
}

// environment is this process's, without what would reconfigure the programs.
func environment() []string {
	var kept []string
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "CACHEPROXY_") && !strings.HasPrefix(strings.ToLower(v), "npm_") {
			kept = append(kept, v)
		}
	}
	return kept
}

func launch(t *testing.T, c servers.Command) *servers.Process {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	c.Interrupt = syscall.SIGKILL // nothing is in flight any more
	p, err := servers.StartProcess(ctx, c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Stop(); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			t.Logf("%s said last:\n%s", c.Path, p.Output())
		}
	})
	return p
}

func found(t *testing.T, p *servers.Process, pattern string) string {
	t.Helper()
	m := regexp.MustCompile(pattern).FindStringSubmatch(p.Output())
	if m == nil {
		t.Fatalf("%s is not in:\n%s", pattern, p.Output())
	}
	return m[1]
}

// run runs the tests with these ids, or all of them, and gives the results of all.
func (r *running) run(t *testing.T, ids ...string) results {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, r.suite.node, append([]string{"--no-warnings", "run.mjs", r.proxy, r.known}, ids...)...)
	cmd.Dir, cmd.Env = r.suite.dir, environment()
	var out, log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &log
	if err := cmd.Run(); err != nil {
		t.Fatalf("run the suite: %v\n%s", err, log.String())
	}
	var said struct {
		Tests   []struct{ ID, Kind, Verdict, Why string }
		Results json.RawMessage
	}
	if err := json.Unmarshal(out.Bytes(), &said); err != nil {
		t.Fatalf("read what the suite found: %v\n%.500s", err, out.String())
	}
	r.known = filepath.Join(t.TempDir(), "results.json")
	if err := os.WriteFile(r.known, said.Results, 0o600); err != nil {
		t.Fatal(err)
	}
	all := results{}
	for _, test := range said.Tests {
		all[test.ID] = result{kind: test.Kind, verdict: test.Verdict, why: test.Why}
	}
	return all
}
