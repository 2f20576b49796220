package e2e

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// patience is how long anything may take that is expected to happen.
const patience = 20 * time.Second

// process is a running program.
type process struct {
	cmd         *exec.Cmd
	data, admin string // URLs of its listeners
	done        chan struct{}
	mu          sync.Mutex // guards said
	said        []string   // lines of both outputs
	grown       chan struct{}
}

// launch starts the program and leaves its end to the test.
func launch(t testing.TB, args ...string) *process {
	t.Helper()
	return start(t, exec.Command(program, args...), environment())
}

// launchWith starts the program with sockets of a service manager (sd_listen_fds(3)), which names the process before it
// becomes the program.
func launchWith(t testing.TB, sockets []*os.File, args ...string) *process {
	t.Helper()
	cmd := exec.Command("sh", append([]string{"-c", `LISTEN_PID=$$ exec "$0" "$@"`, program}, args...)...)
	cmd.ExtraFiles = sockets
	return start(t, cmd, append(environment(), fmt.Sprint("LISTEN_FDS=", len(sockets))))
}

// launchAs starts the program from a shell that prepares what it inherits.
func launchAs(t testing.TB, prepare string, env []string, args ...string) *process {
	t.Helper()
	cmd := exec.Command("sh", append([]string{"-c", prepare + ` && exec "$0" "$@"`, program}, args...)...)
	return start(t, cmd, append(environment(), env...))
}

func start(t testing.TB, cmd *exec.Cmd, env []string) *process {
	t.Helper()
	p := &process{cmd: cmd, done: make(chan struct{}), grown: make(chan struct{}, 1)}
	p.cmd.SysProcAttr, p.cmd.Env, p.cmd.Dir = childAttributes(), env, t.TempDir()
	reader, writer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	p.cmd.Stdout, p.cmd.Stderr = writer, writer
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	writer.Close()
	go p.follow(reader)
	t.Cleanup(func() {
		p.cmd.Process.Kill()
		<-p.done
		if t.Failed() {
			t.Logf("cacheproxy %s said:\n%s", strings.Join(cmd.Args[1:], " "), p.output())
		}
	})
	return p
}

// environment is this process's, without what would reconfigure the program.
func environment() []string {
	var kept []string
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "CACHEPROXY_") && !strings.HasPrefix(v, "GOMEMLIMIT=") && !strings.HasPrefix(v, "GOGC=") {
			kept = append(kept, v)
		}
	}
	return kept
}

// follow reads what the program says until it ends.
func (p *process) follow(r io.ReadCloser) {
	defer close(p.done)
	defer r.Close()
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		p.mu.Lock()
		p.said = append(p.said, lines.Text())
		p.mu.Unlock()
		select {
		case p.grown <- struct{}{}:
		default:
		}
	}
	p.cmd.Wait() //nolint:errcheck // the exit status is read from ProcessState
}

func (p *process) output() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return strings.Join(p.said, "\n")
}

// line waits for a line that ok accepts. Only one goroutine may call it.
func (p *process) line(t testing.TB, what string, ok func(string) bool) string {
	t.Helper()
	deadline := time.After(patience)
	for seen := 0; ; {
		p.mu.Lock()
		lines := p.said[seen:]
		p.mu.Unlock()
		for _, line := range lines {
			if ok(line) {
				return line
			}
		}
		seen += len(lines)
		select {
		case <-p.grown:
		case <-p.done:
			t.Fatalf("the program ended before it said %s:\n%s", what, p.output())
		case <-deadline:
			t.Fatalf("the program has not said %s:\n%s", what, p.output())
		}
	}
}

// serve starts `cacheproxy serve` on free ports and waits until it serves.
func serve(t testing.TB, args ...string) *process {
	t.Helper()
	p := launch(t, append([]string{"serve", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"}, args...)...)
	p.serving(t)
	return p
}

// serving waits until the program serves, and returns what it says then.
func (p *process) serving(t testing.TB) string {
	t.Helper()
	line := p.line(t, "where it listens", func(line string) bool { return strings.Contains(line, `"msg":"serving"`) })
	var start struct{ Listen, Admin string }
	// With log.fields: otel the names have a prefix.
	if err := json.Unmarshal([]byte(strings.ReplaceAll(line, `"cacheproxy.`, `"`)), &start); err != nil {
		t.Fatalf("%v in %q", err, line)
	}
	p.data, p.admin = "http://"+start.Listen, "http://"+start.Admin
	return line
}

// serveConfig starts the program with a configuration file.
func serveConfig(t testing.TB, text string) *process {
	t.Helper()
	return serve(t, "--config", writeFile(t, "cacheproxy.yaml", text))
}

func writeFile(t testing.TB, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func (p *process) signal(t testing.TB, s os.Signal) {
	t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		t.Fatal(err)
	}
}

// stopping asks the program to end, and waits until it has heard.
func (p *process) stopping(t testing.TB) {
	t.Helper()
	p.signal(t, syscall.SIGTERM)
	p.line(t, "that it stops", func(line string) bool { return strings.Contains(line, `"msg":"stopping"`) })
}

// exit waits for the program to end and returns its status.
func (p *process) exit(t testing.TB, within time.Duration) int {
	t.Helper()
	select {
	case <-p.done:
		return p.cmd.ProcessState.ExitCode()
	case <-time.After(within):
		t.Fatalf("the program has not ended within %v:\n%s", within, p.output())
		return -1
	}
}

// stop asks the program to end and demands status 0.
func (p *process) stop(t testing.TB, within time.Duration) {
	t.Helper()
	p.signal(t, syscall.SIGTERM)
	if status := p.exit(t, within); status != 0 {
		t.Errorf("exit status %d after SIGTERM:\n%s", status, p.output())
	}
}

// result is what a command left behind.
type result struct {
	status   int
	out, err string
}

// run runs the program to its end.
func run(t testing.TB, env []string, args ...string) result {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Env, cmd.Dir, cmd.SysProcAttr = append(environment(), env...), t.TempDir(), childAttributes()
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errOut
	if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return result{cmd.ProcessState.ExitCode(), out.String(), errOut.String()}
}

// eventually waits until ok is true.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	deadline, tick := time.After(patience), time.NewTicker(20*time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("not within %v: %s", patience, what)
		}
	}
}
