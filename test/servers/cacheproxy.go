package servers

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	metrics "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// Cacheproxy is a running proxy, the built binary in a process of its own.
type Cacheproxy struct {
	Process *Process

	// URL is where its clients connect, Admin its admin listener.
	URL, Admin string
}

// WithCacheproxy builds the proxy, runs what needs its path in program, such as all tests of a package, and takes it away. It gives the
// exit status: that of run, or 1 where the proxy cannot be built, after it has said why.
func WithCacheproxy(program *string, run func() int) int {
	dir, err := os.MkdirTemp("", "cacheproxy-")
	if err != nil {
		fmt.Fprintln(os.Stderr, "make folder:", err)
		return 1
	}
	defer os.RemoveAll(dir)
	if *program, err = BuildCacheproxy(context.Background(), dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return run()
}

// BuildCacheproxy builds the proxy into dir and returns the path of the binary. It is built in the folder of its own module,
// so that it is made of the versions that it is shipped with, whichever module asks for it; and there once for all that ask,
// since the go command links a binary anew only where none made of the same is in its place.
func BuildCacheproxy(ctx context.Context, dir string) (string, error) {
	find := exec.CommandContext(ctx, "go", "list", "-find", "-f", "{{.Module.Dir}}", "cacheproxy/cmd/cacheproxy")
	found, err := find.Output()
	if err != nil {
		return "", fmt.Errorf("find module of cacheproxy: %w", err)
	}
	root := strings.TrimSpace(string(found))
	shared := filepath.Join(root, "bin", "test", "cacheproxy")
	if err := os.MkdirAll(filepath.Dir(shared), 0o755); err != nil {
		return "", fmt.Errorf("build cacheproxy: %w", err)
	}
	unlock, err := lockFile(shared + ".lock")
	if err != nil {
		return "", fmt.Errorf("build cacheproxy: %w", err)
	}
	defer unlock()
	build := exec.CommandContext(ctx, "go", "build", "-o", shared, "./cmd/cacheproxy")
	build.Dir = root
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build cacheproxy: %w:\n%s", err, out)
	}
	// A copy: what is built next, such as a mutant, takes the place of the shared one while this one runs.
	binary := filepath.Join(dir, "cacheproxy")
	content, err := os.ReadFile(shared)
	if err != nil {
		return "", fmt.Errorf("copy cacheproxy: %w", err)
	}
	if err := os.WriteFile(binary, content, 0o755); err != nil {
		return "", fmt.Errorf("copy cacheproxy: %w", err)
	}
	return binary, nil
}

// lockFile waits until no other process holds the file, and makes it where there is none.
func lockFile(path string) (unlock func(), err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, fmt.Errorf("open lock: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
		return nil, errors.Join(fmt.Errorf("lock %s: %w", path, err), f.Close())
	}
	return func() { _ = f.Close() }, nil // which gives the lock back
}

// StartCacheproxy starts the proxy with a configuration, which must name
// neither listener, and returns when it is ready. Its files are kept in dir.
func StartCacheproxy(ctx context.Context, binary, dir, configuration string) (*Cacheproxy, error) {
	return StartCacheproxyBy(ctx, []string{binary}, dir, configuration)
}

// StartCacheproxyBy is StartCacheproxy with a command that runs the binary in
// its own place, as taskset does: the words before the binary's arguments.
func StartCacheproxyBy(ctx context.Context, command []string, dir, configuration string) (*Cacheproxy, error) {
	for try := 1; ; try++ {
		p, err := startCacheproxy(ctx, command, dir, configuration)
		// Somebody else may take a port between the moment in which it was free and that in which the proxy opens it.
		if err == nil || try == 5 || !strings.Contains(err.Error(), "address already in use") {
			return p, err
		}
	}
}

func startCacheproxy(ctx context.Context, command []string, dir, configuration string) (*Cacheproxy, error) {
	port, err := FreePort()
	if err != nil {
		return nil, err
	}
	adminPort, err := FreePort()
	if err != nil {
		return nil, err
	}
	listeners := fmt.Sprintf("listen: 127.0.0.1:%d\nadmin: {listen: \"127.0.0.1:%d\"}\n", port, adminPort)
	file := filepath.Join(dir, "cacheproxy.yaml")
	if err := os.WriteFile(file, []byte(listeners+configuration), 0o600); err != nil {
		return nil, fmt.Errorf("write configuration of cacheproxy: %w", err)
	}
	process, err := StartProcess(ctx, Command{Path: command[0], Args: append(slices.Clone(command[1:]), "serve", "--config", file)})
	if err != nil {
		return nil, err
	}
	p := &Cacheproxy{
		Process: process,
		URL:     fmt.Sprintf("http://127.0.0.1:%d", port),
		Admin:   fmt.Sprintf("http://127.0.0.1:%d", adminPort),
	}
	if err := p.awaitReady(ctx); err != nil {
		return nil, errors.Join(err, process.Stop())
	}
	return p, nil
}

func (p *Cacheproxy) awaitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	client := &http.Client{}
	defer client.CloseIdleConnections()
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, p.Admin+"/readyz", nil)
		if err != nil {
			return fmt.Errorf("wait for cacheproxy: %w", err)
		}
		if response, err := client.Do(request); err == nil {
			err = response.Body.Close()
			if response.StatusCode == http.StatusOK {
				return err
			}
		}
		select {
		case <-again.C:
		case <-p.Process.Done():
			return fmt.Errorf("wait for cacheproxy: it ended; its last output:\n%s", p.Process.Output())
		case <-ctx.Done():
			return fmt.Errorf("wait for cacheproxy: %w; its last output:\n%s", ctx.Err(), p.Process.Output())
		}
	}
}

// Metrics reads what the proxy counts, by name.
func (p *Cacheproxy) Metrics(ctx context.Context) (map[string]*metrics.MetricFamily, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, p.Admin+"/metrics", nil)
	if err != nil {
		return nil, fmt.Errorf("read metrics: %w", err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, fmt.Errorf("read metrics: %w", err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("read metrics: %s", response.Status)
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	return parser.TextToMetricFamilies(response.Body)
}

// Gauge is the value of a gauge without labels.
func (p *Cacheproxy) Gauge(ctx context.Context, name string) (float64, error) {
	all, err := p.Metrics(ctx)
	if err != nil {
		return 0, err
	}
	if len(all[name].GetMetric()) != 1 {
		return 0, fmt.Errorf("read metrics: there is no %s", name)
	}
	return all[name].Metric[0].GetGauge().GetValue(), nil
}
