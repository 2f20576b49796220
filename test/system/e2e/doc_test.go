// Package e2e tests the program as its users meet it: the binary, its arguments, sockets, signals and exit status.
package e2e

import (
	"os"
	"testing"

	"cacheproxy/test/servers"
)

// program is the binary under test. It is built without the race detector, as it is shipped.
var program string

func TestMain(m *testing.M) { os.Exit(servers.WithCacheproxy(&program, m.Run)) }
