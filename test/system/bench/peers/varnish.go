package main

import (
	"context"
	"fmt"
	"net"
	"path/filepath"

	"cacheproxy/test/servers"
)

const varnishConfiguration = `vcl 4.1;
backend origin { .host = "%s"; .port = "%s"; }
`

// varnish runs with its built-in rules, and its log in shared memory, which cannot be switched off.
func varnish() peer {
	return peer{
		name: "Varnish", program: "varnishd", version: []string{"varnishd", "-V"},
		start: func(ctx context.Context, b *bed, dir string) (*server, error) {
			port, err := servers.FreePort()
			if err != nil {
				return nil, err
			}
			host, originPort, err := net.SplitHostPort(b.origin.address)
			if err != nil {
				return nil, fmt.Errorf("start Varnish: %w", err)
			}
			file := filepath.Join(dir, "default.vcl")
			return b.startFrom(ctx, dir, "default.vcl", fmt.Sprintf(varnishConfiguration, host, originPort), port,
				"varnishd", "-F", "-j", "none", "-n", filepath.Join(dir, "work"), "-a", fmt.Sprintf("127.0.0.1:%d", port), "-T", "none", "-p", "listen_depth=4096",
				"-f", file, "-s", fmt.Sprintf("malloc,%d", b.memory))
		},
		unable: func(l load) string {
			if l.tls {
				return "no TLS"
			}
			return unableValkey(l)
		},
	}
}
