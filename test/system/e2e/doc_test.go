// Package e2e tests the program as its users meet it: the binary, its arguments, sockets, signals and exit status.
package e2e

import (
	"context"
	"fmt"
	"os"
	"testing"

	"cacheproxy/test/servers"
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
	if program, err = servers.BuildCacheproxy(context.Background(), dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}
