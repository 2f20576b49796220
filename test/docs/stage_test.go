package docs

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"cacheproxy/test/servers"
)

const (
	// patience is how long anything may take that is expected to happen.
	patience = 2 * time.Minute
	// adminToken is an admin token of the length that is asked for.
	adminToken = "0123456789abcdef0123456789abcdef"
)

// What the documents call the listeners and servers that they speak of.
const (
	docData, docAdmin, docAPI  = "127.0.0.1:8080", "127.0.0.1:8081", "127.0.0.1:9000"
	docFleetAdmin, docFleetLog = "10.0.0.1:8081", "10.0.0.7:6379"
)

// binary is the program that is documented.
var binary string

func TestMain(m *testing.M) { os.Exit(testMain(m)) }

func testMain(m *testing.M) int {
	folder, err := os.MkdirTemp("", "cacheproxy-docs-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(folder)
	binary = filepath.Join(folder, "cacheproxy")
	build := exec.Command("go", "build", "-ldflags", "-s -w", "-o", binary, "./cmd/cacheproxy")
	build.Dir = root
	if out, err := output(build); err != nil {
		fmt.Fprintf(os.Stderr, "%v\n%s", err, out)
		return 1
	}
	return m.Run()
}

// runbookConfig is the configuration that the commands of the runbook speak of.
const runbookConfig = `
admin:
  tokens: [{name: sre, token: ` + adminToken + `, allow: [all]}]
upstreams:
  - {name: shop, url: "http://` + docAPI + `"}
routes:
  - name: product
    match: GET /products/{id}
    policy: cache-aside
    key: "v2:product:{id}"
    tags: ["product:{id}"]
    ttl: 10m
  - name: product-list
    match: GET /products
    policy: cache-aside
    ttl: 60s
    tags: [product-list]
`

// stage is what the commands of a document run against. Nothing is started before it is needed.
type stage struct {
	t     testing.TB
	dir   string       // where commands run; cacheproxy.yaml in it is what the document has last shown
	set   func() error // starts what the document takes for running; nil: it has been
	data  string       // addresses of the proxy that was started last
	admin string
	more  []string // further names of the document, each before what stands for it

	copyTo  string   // the file that gets what the program prints that is started next; empty: none does
	secrets []string // variables of the environment of commands
}

func newStage(t testing.TB, path string) *stage {
	s := &stage{t: t, dir: t.TempDir()}
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"path":%q}`, r.URL.Path)
	}))
	t.Cleanup(api.Close)
	s.more = []string{docAPI, api.Listener.Addr().String()}
	s.set = s.demo
	switch path {
	case "docs/runbook.md":
		s.write("cacheproxy.yaml", runbookConfig)
		s.set = func() error { _, err := s.launch("serve", "--config", "cacheproxy.yaml"); return err }
	case "docs/fleet.md":
		s.set = s.fleet
	case "docs/postgresql.md":
		s.set = nil
		s.database()
	}
	return s
}

// demo runs the sample shop.
func (s *stage) demo() error {
	_, err := s.launch("demo")
	return err
}

// fleet runs three instances on a server, with the configuration that the document has shown.
func (s *stage) fleet() error {
	s.more = append(s.more, docFleetLog, servers.Valkey(s.t, servers.ValkeyOptions{}).Address())
	s.write("fleet.yaml", s.fleetConfig())
	for i := range 3 {
		if _, err := s.launch("serve", "--config", "fleet.yaml"); err != nil {
			return err
		}
		if i == 0 {
			s.more = append(s.more, docFleetAdmin, s.admin)
		}
	}
	return nil
}

func (s *stage) fleetConfig() string {
	text, err := os.ReadFile(filepath.Join(s.dir, lastConfig))
	if err != nil {
		s.t.Fatalf("fleet of a document that has shown no configuration: %v", err)
	}
	return string(text)
}

// ready starts what the document takes for running.
func (s *stage) ready() error {
	if s.set == nil {
		return nil
	}
	set := s.set
	s.set = nil
	return set()
}

// names are those of the document, each before the one that stands for it.
func (s *stage) names() []string {
	names := s.more
	if s.data != "" {
		names = append([]string{docData, s.data, docAdmin, s.admin}, names...)
	}
	return names
}

// real is a text of the document with what stands for its names.
func (s *stage) real(text string) string { return strings.NewReplacer(s.names()...).Replace(text) }

// documented is a text of the program with the names of the document.
func (s *stage) documented(text string) string {
	names := slices.Clone(s.names())
	for i := 0; i < len(names); i += 2 {
		names[i], names[i+1] = names[i+1], names[i]
	}
	return strings.NewReplacer(names...).Replace(text)
}

func (s *stage) write(name, text string) {
	if err := os.WriteFile(filepath.Join(s.dir, name), []byte(s.real(text)), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

// environment is this process's, without what would configure the program, with the program in its path.
func (s *stage) environment() []string {
	kept := []string{
		"PATH=" + filepath.Dir(binary) + string(os.PathListSeparator) + os.Getenv("PATH"), "CURL_HOME=" + s.dir,
		"CACHEPROXY_ADMIN_TOKEN=" + adminToken, "CACHEPROXY_ADMIN=http://" + s.admin,
	}
	kept = append(kept, s.secrets...)
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "CACHEPROXY_") && !strings.HasPrefix(v, "PATH=") {
			kept = append(kept, v)
		}
	}
	return kept
}

// run runs a command of a shell to its end.
func (s *stage) run(script string) (string, error) {
	cmd := exec.CommandContext(s.t.Context(), "/bin/sh", "-c", s.real(script))
	cmd.Dir, cmd.Env = s.dir, s.environment()
	cmd.WaitDelay = time.Second
	out, err := output(cmd)
	return s.documented(out), err
}

// What the program prints when it serves, and where it then says on which addresses.
const (
	serveReady, demoReady = `"msg":"serving"`, "End: Ctrl-C"
)

var (
	serveAddresses = regexp.MustCompile(`"msg":"serving".*"listen":"([^"]+)".*"admin":"([^"]+)"`)
	demoAddresses  = regexp.MustCompile(`(?s)^http://(\S+)\n.*\nMetrics: http://([^/]+)/metrics`)
)

// launch starts the program, and returns what it has printed when it serves. It runs until the test ends.
func (s *stage) launch(arguments ...string) (string, error) {
	ctx, cancel := context.WithTimeout(s.t.Context(), patience)
	defer cancel()
	ready, addresses := serveReady, serveAddresses
	if arguments[0] == "demo" {
		ready, addresses = demoReady, demoAddresses
	}
	var log io.Writer
	if s.copyTo != "" {
		file, err := os.Create(filepath.Join(s.dir, s.copyTo))
		if err != nil {
			return "", err
		}
		s.t.Cleanup(func() { file.Close() })
		log = file
	}
	said, err := s.start(ctx, servers.Command{
		Path: binary, Args: append(arguments, "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"), Dir: s.dir,
		Env: withoutClient(s.environment()), Ready: ready, Interrupt: syscall.SIGKILL, Log: log,
	})
	if err != nil {
		return "", err
	}
	at := addresses.FindStringSubmatch(said)
	if at == nil {
		return "", fmt.Errorf("%v does not say where it serves:\n%s", arguments, said)
	}
	s.data, s.admin, s.set = at[1], at[2], nil
	return s.documented(said), nil
}

// start starts a program that runs until the test ends, and returns what it has printed when it is ready.
func (s *stage) start(ctx context.Context, c servers.Command) (string, error) {
	process, err := servers.StartProcess(ctx, c)
	if err != nil {
		return "", err
	}
	s.t.Cleanup(func() {
		if err := process.Stop(); err != nil {
			s.t.Error(err)
		}
	})
	return process.Output(), nil
}

// withoutClient leaves out what is for commands that call a running proxy.
func withoutClient(environment []string) (kept []string) {
	for _, v := range environment {
		if !strings.HasPrefix(v, "CACHEPROXY_") {
			kept = append(kept, v)
		}
	}
	return kept
}
