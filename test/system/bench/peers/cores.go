package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
)

// cores says which processors the server under test has, and which everything else has, in the form of taskset. Empty:
// any.
type cores struct {
	Server string `json:"server"`
	Load   string `json:"load"`
}

// splitCores gives the server the first core, and the load generator and the origin the others.
func splitCores(count int) cores {
	switch {
	case count < 2:
		return cores{}
	case count == 2:
		return cores{"0", "1"}
	default:
		return cores{"0", fmt.Sprintf("1-%d", count-1)}
	}
}

// coresHere are the cores of this machine. Without taskset nothing is pinned, and the report says so.
func coresHere() cores {
	if _, err := exec.LookPath("taskset"); err != nil {
		return cores{}
	}
	return splitCores(runtime.NumCPU())
}

// pinned is a command that runs on the given cores only.
func pinned(cores string, command ...string) []string {
	if cores == "" {
		return command
	}
	return append([]string{"taskset", "-c", cores}, command...)
}

// moveHere pins this process, which reads the servers' output, to the cores of the load. Later threads inherit the
// setting from the thread that starts them.
func (c cores) moveHere(ctx context.Context) error {
	if c.Load == "" {
		return nil
	}
	if out, err := exec.CommandContext(ctx, "taskset", "-a", "-p", "-c", c.Load, strconv.Itoa(os.Getpid())).CombinedOutput(); err != nil {
		return fmt.Errorf("pin this process: %w: %s", err, out)
	}
	return nil
}
