package e2e

import (
	"encoding/json"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"
)

// started is what the program says when it serves.
type started struct {
	StartedIn string `json:"started_in"`
	Files     uint64 `json:"files"`
}

func (p *process) startedWith(t testing.TB) (s started) {
	t.Helper()
	if err := json.Unmarshal([]byte(p.serving(t)), &s); err != nil {
		t.Fatal(err)
	}
	return s
}

var onFreePorts = []string{"serve", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"}

// The soft limit of open files is raised to the hard one, and said with how long the start took.
func TestFileLimitIsRaised(t *testing.T) {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	if limit.Max < 3000 {
		t.Skipf("the hard limit is %d", limit.Max)
	}
	p := launchAs(t, "ulimit -Sn 100 && ulimit -Hn 3000", nil, append(onFreePorts, "--upstream", newOrigin(t).url)...)
	s := p.startedWith(t)
	if _, err := time.ParseDuration(s.StartedIn); err != nil {
		t.Errorf("started_in: %v", err)
	}
	if s.Files < 2999 || metric(t, p, "process_max_fds") != fmt.Sprint(s.Files) { // Go may leave one out
		t.Errorf("files %d, process_max_fds %s; want 3000", s.Files, metric(t, p, "process_max_fds"))
	}
	// The default of 10000 connections does not fit, and upstreams need their share.
	var lowered struct {
		Now int `json:"now"`
	}
	line := p.line(t, "that it allows fewer connections", func(line string) bool { return strings.Contains(line, "max_connections lowered") })
	if err := json.Unmarshal([]byte(line), &lowered); err != nil || lowered.Now < 1500 || lowered.Now > 2000 {
		t.Errorf("lowered to %d, %v", lowered.Now, err)
	}
}

// Go's memory limit follows from that of the container or machine, unless the environment says one.
func TestMemoryLimit(t *testing.T) {
	file := writeFile(t, "cacheproxy.yaml", fmt.Sprintf("memory: {size: auto}\nupstreams: [{name: a, url: %q}]\nroutes: [{name: a, match: /, policy: cache-aside}]\n", newOrigin(t).url))
	for env, want := range map[string]func(string) bool{
		"GOMEMLIMIT=100MiB": func(limit string) bool { return limit == "1.048576e+08" },
		"A=B": func(limit string) bool {
			return limit != "1.048576e+08" && limit != "9.223372036854776e+18" && limit != ""
		},
	} {
		p := launchAs(t, "true", []string{env}, append(onFreePorts, "--config", file)...)
		p.serving(t)
		if limit := metric(t, p, "go_gc_gomemlimit_bytes"); !want(limit) {
			t.Errorf("%s: limit %s", env, limit)
		}
	}
}
