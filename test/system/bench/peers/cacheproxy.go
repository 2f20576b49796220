package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"cacheproxy/test/servers"
)

// proxyConfiguration is a route for everything. All costly settings have their defaults: metrics, Age, Cache-Status,
// the access log.
const proxyConfiguration = `drain_delay: 0s
memory: {size: %[1]dB, max_object: %[5]dB}
limits: {max_connections: 12000}
%[2]supstreams:
  - {name: origin, url: "http://%[3]s"}
routes:
  - {name: all, match: "GET /", policy: cache-aside, ttl: 1h%[4]s}
`

// valkeyTimeout is longer than the default. Valkey shares a core with wrk and may be late on a busy machine, and each
// late copy would make a hit a miss. The longer timeout costs nothing while Valkey is in time. The lease allows no
// longer timeout.
const valkeyTimeout = "750ms"

// valkeyMemory is so little that next to no copy is found in memory under the load on Valkey.
const valkeyMemory = 1 << 20

// cacheproxy is the binary under test, or another binary as the baseline.
func cacheproxy(name string, binary func(*bed) string) peer {
	return peer{
		name: name,
		start: func(ctx context.Context, b *bed, dir string) (*server, error) {
			configuration, err := fittingConfiguration(ctx, b, dir, binary(b))
			if err != nil {
				return nil, err
			}
			p, err := servers.StartCacheproxyBy(ctx, pinned(b.cores.Server, binary(b)), dir, configuration)
			if err != nil {
				return nil, err
			}
			return &server{process: p.Process, address: strings.TrimPrefix(p.URL, "http://")}, nil
		},
		unable: func(load) string { return "" },
	}
}

// fittingConfiguration is a configuration that the binary accepts. If the binary has ignore_headers, the configuration
// lists the fields that choose no answer.
func fittingConfiguration(ctx context.Context, b *bed, dir, binary string) (string, error) {
	listeners, memory := "", b.memory
	if b.load.tls {
		listeners += fmt.Sprintf("tls: {cert: %q, key: %q}\n", b.cert, b.key)
	}
	if b.valkey != nil {
		listeners += fmt.Sprintf("valkey: {url: \"valkey://%s\", prefix: %s, timeout: %s}\n", b.valkey.Address(), filepath.Base(dir), valkeyTimeout)
		memory = valkeyMemory
	}
	var said []byte
	for _, ignored := range []string{
		fmt.Sprintf(`, ignore_headers: ["%s"]`, strings.Join(unlisted, `", "`)),
		`, ignore_headers: ["Sec-Ch-Ua*"]`,
		"",
	} {
		configuration := fmt.Sprintf(proxyConfiguration, memory, listeners, b.origin.address, ignored, min(8<<20, memory/4))
		file := filepath.Join(dir, "probe.yaml")
		if err := os.WriteFile(file, []byte(configuration), 0o600); err != nil {
			return "", fmt.Errorf("write configuration of cacheproxy: %w", err)
		}
		out, err := exec.CommandContext(ctx, binary, "check", file).CombinedOutput()
		if err == nil {
			return configuration, nil
		}
		said = out
	}
	return "", fmt.Errorf("check configuration of %s: it accepts none; of the last it says:\n%s", binary, said)
}
