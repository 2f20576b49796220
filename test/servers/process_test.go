package servers

import (
	"context"
	"strings"
	"testing"
	"time"
)

func shell(script, ready string) Command {
	return Command{Path: "/bin/sh", Args: []string{"-c", script}, Ready: ready}
}

func TestStartWaitsForReadyAndStopEnds(t *testing.T) {
	p, err := StartProcess(t.Context(), shell("printf 'list'; printf 'ening\\n'; exec sleep 60", "listening"))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(p.Output(), "listening") {
		t.Errorf("output %q lacks what the process printed", p.Output())
	}
	if err := p.Stop(); err != nil {
		t.Errorf("Stop: %v", err)
	}
	select {
	case <-p.Done():
	default:
		t.Error("Stop returned before the process had ended")
	}
	if err := p.Stop(); err != nil {
		t.Errorf("second Stop: %v", err)
	}
}

func TestStartReportsTheLastOutput(t *testing.T) {
	_, err := StartProcess(t.Context(), shell("echo no such table >&2; exit 3", "listening"))
	if err == nil || !strings.Contains(err.Error(), "no such table") || !strings.Contains(err.Error(), "exit status 3") {
		t.Errorf("error %v does not say why the process ended", err)
	}
}

func TestStartGivesUpWithItsContext(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err := StartProcess(ctx, shell("exec sleep 60", "listening"))
	if err == nil || !strings.Contains(err.Error(), "not ready") {
		t.Errorf("error %v, want one that says it was not ready", err)
	}
}

func TestOutputKeepsTheTail(t *testing.T) {
	o := &output{ready: make(chan struct{})}
	for range 3 {
		if _, err := o.Write([]byte(strings.Repeat("a", tailBytes))); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := o.Write([]byte("end")); err != nil {
		t.Fatal(err)
	}
	if got := o.Tail(); len(got) != tailBytes || !strings.HasSuffix(got, "aend") {
		t.Errorf("tail has %d bytes and ends in %q", len(got), got[len(got)-4:])
	}
}

func TestMissingProgramSaysHowToInstall(t *testing.T) {
	_, err := findProgram("no-such-program-here", "apt-get install it", "/usr/lib/none/*/bin")
	if err == nil || !strings.Contains(err.Error(), "apt-get install it") {
		t.Errorf("error %v does not say how to install the program", err)
	}
}
