package main

import (
	"context"
	"fmt"
	"net/http"
	"os"

	"cacheproxy/test/servers"
)

// haproxyConfiguration logs nothing, which is HAProxy's default. HAProxy's answers have Age and show where they come
// from.
const haproxyConfiguration = `global
  nbthread 1
  maxconn 12000
  no strict-limits
  stats socket %[1]s/stats
defaults
  mode http
  timeout connect 5s
  timeout client 60s
  timeout server 60s
  timeout http-keep-alive 60s
cache copies
  total-max-size %[2]d
  max-object-size %[3]d
  max-age 86400
frontend data
  bind 127.0.0.1:%[4]d backlog 4096 %[5]s
  http-request cache-use copies
  http-response cache-store copies
%[7]s
  default_backend origin
backend origin
  http-reuse always
  server origin %[6]s
`

// haproxyMost is the largest cache that HAProxy accepts, in MiB.
const haproxyMost = 4095

func haproxy() peer {
	return peer{
		name: "HAProxy", program: "haproxy", version: []string{"haproxy", "-v"},
		start: func(ctx context.Context, b *bed, dir string) (*server, error) {
			port, err := servers.FreePort()
			if err != nil {
				return nil, err
			}
			protocol := ""
			if b.load.tls {
				// HAProxy wants the chain and the key in one file.
				pem := dir + "/both.pem"
				if err := joinFiles(pem, b.cert, b.key); err != nil {
					return nil, err
				}
				protocol = "ssl crt " + pem + " alpn h2,http/1.1"
			}
			without := ""
			if b.load.status == http.StatusNotModified {
				// wrk waits for content of that length, which a 304 never has.
				without = "  http-after-response del-header Content-Length if { status 304 }"
			}
			size := min(b.memory>>20, haproxyMost)
			object := min(2<<20, size<<20/2) // at most half of the cache
			configuration := fmt.Sprintf(haproxyConfiguration, dir, size, object, port, protocol, b.origin.address, without)
			return b.startFrom(ctx, dir, "haproxy.cfg", configuration, port, "haproxy", "-db", "-f", dir+"/haproxy.cfg")
		},
		unable: unableValkey,
	}
}

func joinFiles(to string, from ...string) error {
	var all []byte
	for _, name := range from {
		text, err := os.ReadFile(name)
		if err != nil {
			return fmt.Errorf("join files: %w", err)
		}
		all = append(all, text...)
	}
	if err := os.WriteFile(to, all, 0o600); err != nil {
		return fmt.Errorf("join files: %w", err)
	}
	return nil
}
