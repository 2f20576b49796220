package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
)

// cores says which processors the server under test has, and which all else; as taskset takes them. Empty: any.
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

// coresHere are those of this machine. Where they cannot be told apart nobody is pinned, and the report says so.
func coresHere() cores {
	if _, err := exec.LookPath("taskset"); err != nil {
		return cores{}
	}
	return splitCores(runtime.NumCPU())
}

// pinned is a command that runs on some cores only.
func pinned(cores string, command ...string) []string {
	if cores == "" {
		return command
	}
	return append([]string{"taskset", "-c", cores}, command...)
}

// moveHere pins this process, which reads what the servers print, to the cores of the load. Threads that it starts later
// stay with their maker.
func (c cores) moveHere(ctx context.Context) error {
	if c.Load == "" {
		return nil
	}
	if out, err := exec.CommandContext(ctx, "taskset", "-a", "-p", "-c", c.Load, strconv.Itoa(os.Getpid())).CombinedOutput(); err != nil {
		return fmt.Errorf("pin this process: %w: %s", err, out)
	}
	return nil
}
