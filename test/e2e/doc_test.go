// Package e2e tests the program as its users meet it: the binary, its arguments, sockets, signals and exit status.
package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// program is the binary under test. It is built without the race detector, as it is shipped.
var program string

func TestMain(m *testing.M) { os.Exit(buildAndRun(m)) }

func buildAndRun(m *testing.M) int {
	dir, err := os.MkdirTemp("", "cacheproxy-e2e")
	if err != nil {
		fmt.Fprintln(os.Stderr, "make folder:", err)
		return 1
	}
	defer os.RemoveAll(dir)
	program = filepath.Join(dir, "cacheproxy")
	build := exec.Command("go", "build", "-o", program, "cacheproxy/cmd/cacheproxy")
	build.Stdout, build.Stderr = os.Stdout, os.Stderr
	if err := build.Run(); err != nil {
		fmt.Fprintln(os.Stderr, "build cacheproxy:", err)
		return 1
	}
	return m.Run()
}
