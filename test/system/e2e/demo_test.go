package e2e

import (
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"
)

var urlLine = regexp.MustCompile(`^http://127\.0\.0\.1:\d+$`)

// The first line of the demo is a URL, and the five commands below it do, typed as they are printed, what they promise.
func TestDemo(t *testing.T) {
	if _, err := exec.LookPath("curl"); err != nil {
		t.Skip("curl is not installed")
	}
	p := launch(t, "demo", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0")
	p.line(t, "how to end it", func(line string) bool { return strings.HasPrefix(line, "Metrics: ") })
	lines := strings.Split(p.output(), "\n")
	if !urlLine.MatchString(lines[0]) {
		t.Fatalf("first line %q, want the URL of the data listener", lines[0])
	}
	var commands []string
	for _, line := range lines {
		if strings.HasPrefix(line, "  curl ") {
			commands = append(commands, line)
		}
	}
	if len(commands) != 7 {
		t.Fatalf("%d commands, want 7:\n%s", len(commands), p.output())
	}
	read, purge, write, look, score, board, explain := commands[0], commands[1], commands[2], commands[3], commands[4], commands[5], commands[6]
	for _, step := range []struct{ name, command, want, not string }{
		{"first read", read, "cacheproxy; fwd=uri-miss", "hit"},
		{"second read", read, "cacheproxy; hit; ttl=", "fwd="},
		{"purge", purge, `"acked":[`, "error"},
		{"read after the purge", read, "fwd=", "; hit"},
		{"read again", read, "cacheproxy; hit; ttl=", "fwd="},
		{"look before the write", look, `"on_hand":117,`, "error"},
		{"write", write, "HTTP/1.1 200 OK", "error"},
		{"look after the write", look, `"on_hand":5,`, "error"},
		{"a score", score, `"rank": 1`, "error"},
		{"the board", board, `"player": "ada", "score": 7`, "error"},
		{"explain", explain, `"decision":"hit"`, "problem"},
	} {
		got := shell(t, step.command)
		if !strings.Contains(got, step.want) || strings.Contains(got, step.not) {
			t.Errorf("%s: %s\nprinted %q, want %q and not %q", step.name, strings.TrimSpace(step.command), got, step.want, step.not)
		}
	}
	p.stop(t, 5*time.Second)
}

func shell(t testing.TB, command string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "sh", "-c", command).Output()
	if err != nil {
		t.Errorf("%s: %v", command, err)
	}
	return string(out)
}

// A second demo on the same ports takes others, and says so.
func TestDemoPortsInUse(t *testing.T) {
	o := newOrigin(t)
	taken := strings.TrimPrefix(o.url, "http://")
	p := launch(t, "demo", "--listen", taken, "--admin", taken)
	first := p.line(t, "its URL", urlLine.MatchString)
	if first == o.url {
		t.Errorf("the demo says it listens on %s, which another program has", first)
	}
	p.line(t, "how to end it", func(line string) bool { return strings.HasPrefix(line, "Metrics: ") })
	eventually(t, "the demo answers", func() bool {
		a, err := tryCall("GET", first+"/products/1", "")
		return err == nil && a.status == 200
	})
}
