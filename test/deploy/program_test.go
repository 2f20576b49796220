// Package deploy holds what is shipped around the program against the tools that will read it: the image, the manifests,
// the units, the compose file, the alerts, the dashboard and the runbook. It is a module of its own, so that these tools
// are no dependencies of the program.
package deploy

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

const (
	// root is the project's folder.
	root = "../.."
	// patience is how long anything may take that is expected to happen.
	patience = 5 * time.Minute
	// token is an admin token of the length that is asked for.
	token = "0123456789abcdef0123456789abcdef"
)

// program is the binary, built as `make build` does.
var program string

func TestMain(m *testing.M) { os.Exit(testMain(m)) }

func testMain(m *testing.M) int {
	folder, err := os.MkdirTemp("", "cacheproxy-deploy-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(folder)
	program = filepath.Join(folder, "cacheproxy")
	build := exec.Command("go", "build", "-o", program, "./cmd/cacheproxy")
	build.Dir, build.Env = root, append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "%v\n%s", err, out)
		return 1
	}
	return m.Run()
}

// running is a proxy that serves.
type running struct {
	data, admin string // URLs of its listeners
	dir         string // its working directory
}

// serve starts a program and waits until it serves. The command is complete but for its output.
func serve(t *testing.T, cmd *exec.Cmd) running {
	t.Helper()
	reader, writer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdout, cmd.Stderr = writer, writer
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	writer.Close()
	addresses, done := make(chan running, 1), make(chan struct{})
	var said bytes.Buffer // owned by the goroutine until done
	go func() {
		defer close(done)
		defer reader.Close()
		for lines := bufio.NewScanner(reader); lines.Scan(); {
			fmt.Fprintf(&said, "%s\n", lines.Bytes())
			var start struct{ Msg, Listen, Admin string }
			if json.Unmarshal(lines.Bytes(), &start) == nil && start.Msg == "serving" {
				addresses <- running{data: "http://" + start.Listen, admin: "http://" + start.Admin, dir: cmd.Dir}
			}
		}
	}()
	t.Cleanup(func() {
		cmd.Process.Kill()
		<-done
		cmd.Wait() //nolint:errcheck // it was killed
		if t.Failed() {
			t.Logf("%v said:\n%s", cmd.Args, said.String())
		}
	})
	select {
	case r := <-addresses:
		return r
	case <-done:
		t.Fatalf("%v ended:\n%s", cmd.Args, said.String())
	case <-time.After(patience):
		t.Fatalf("%v does not serve", cmd.Args)
	}
	panic("unreachable")
}

// anyPorts are flags that keep a test off fixed ports.
var anyPorts = []string{"--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"}

// serveFile starts the program with a configuration.
func serveFile(t *testing.T, config string) running {
	t.Helper()
	cmd := exec.Command(program, append([]string{"serve", "--config", config}, anyPorts...)...)
	cmd.Dir, cmd.Env = t.TempDir(), environment()
	return serve(t, cmd)
}

// environment is this process's, without what would configure the program.
func environment(more ...string) []string {
	var kept []string
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "CACHEPROXY_") {
			kept = append(kept, v)
		}
	}
	return append(kept, more...)
}

// run runs a command to its end, and fails the test where that is not status 0.
func run(t *testing.T, cmd *exec.Cmd) string {
	t.Helper()
	out, err := output(cmd)
	if err != nil {
		t.Fatalf("%v: %v\n%s", cmd.Args, err, out)
	}
	return out
}

// output runs a command to its end, or to that of the patience with it.
func output(cmd *exec.Cmd) (string, error) {
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Setpgid = true // what a shell has started ends with it
	if err := cmd.Start(); err != nil {
		return "", err
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	select {
	case err := <-ended:
		return out.String(), err
	case <-time.After(patience):
		syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) //nolint:errcheck // it may have ended meanwhile
		<-ended
		return out.String(), errors.New("has not ended")
	}
}

// optional finds a program that not every machine can have, and skips the test without it.
func optional(t *testing.T, name, packaged string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Skipf("not checked: %s is not installed (Debian: package %s)", name, packaged)
	}
	return path
}

func get(t *testing.T, url string, header ...string) (int, http.Header, string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, "GET", url, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	answer, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, answer.Header, string(body)
}

// api is an API whose answers may be stored.
func api(t *testing.T) string {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"path":%q}`, r.URL.Path)
	}))
	t.Cleanup(s.Close)
	return s.URL
}

func read(t *testing.T, path string) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(root, path))
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

func write(t *testing.T, path, content string) string {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// checked is a shipped configuration with other texts put in the place of some, accepted by `cacheproxy check`.
func checked(t *testing.T, path string, replace ...string) string {
	t.Helper()
	text := strings.NewReplacer(replace...).Replace(read(t, path))
	file := write(t, filepath.Join(t.TempDir(), "config.yaml"), text)
	cmd := exec.Command(program, "check", file)
	cmd.Env = environment("CACHEPROXY_ADMIN_TOKEN=" + token)
	run(t, cmd)
	return file
}

// valkey is the address of a server that runs, with further arguments, until the test ends.
func valkey(t *testing.T, args ...string) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().(*net.TCPAddr)
	l.Close()
	args = append([]string{"--bind", "127.0.0.1", "--port", strconv.Itoa(address.Port), "--dir", t.TempDir()}, args...)
	for i := range args {
		if args[i] == "6379" {
			args[i] = strconv.Itoa(address.Port)
		}
	}
	cmd := exec.Command(optional(t, "valkey-server", "valkey-server"), args...)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait() //nolint:errcheck // it was killed
	})
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if strings.Contains(lines.Text(), "Ready to accept connections") {
			go io.Copy(io.Discard, out) //nolint:errcheck // it ends with the server
			return address.String()
		}
	}
	t.Fatal("the server does not start")
	panic("unreachable")
}
