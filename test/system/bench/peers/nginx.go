package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"cacheproxy/test/servers"
)

// nginxConfiguration keeps connections on both sides open as long as they are used, as the other peers do.
const nginxConfiguration = `%[1]s
daemon off;
worker_processes 1;
pid %[2]s/pid;
error_log stderr warn;
events { worker_connections 16384; }
http {
  access_log %[2]s/access.log;
  sendfile on;
  tcp_nopush on;
  keepalive_requests 1000000000;
  client_body_temp_path %[2]s/body;
  proxy_temp_path %[2]s/proxy;
  fastcgi_temp_path %[2]s/fastcgi;
  uwsgi_temp_path %[2]s/uwsgi;
  scgi_temp_path %[2]s/scgi;
  proxy_cache_path %[2]s/cache levels=1:2 keys_zone=copies:256m max_size=%[3]d inactive=1h use_temp_path=off;
  upstream origin { server %[4]s; keepalive 128; keepalive_requests 1000000000; }
  server {
    listen 127.0.0.1:%[5]d %[6]s backlog=4096;
    %[7]s
    location / {
      proxy_pass http://origin;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_set_header Host $host;
      proxy_cache copies;
      proxy_cache_lock on;
      add_header X-Cache $upstream_cache_status;
    }
  }
}
`

func nginx() peer {
	return peer{
		name: "nginx", program: "nginx", version: []string{"nginx", "-v"},
		start: func(ctx context.Context, b *bed, dir string) (*server, error) {
			port, err := servers.FreePort()
			if err != nil {
				return nil, err
			}
			user, protocol, certificate := "", "", ""
			if os.Getuid() == 0 {
				user = "user root;"
			}
			if b.load.tls {
				protocol = "ssl http2"
				certificate = fmt.Sprintf("ssl_certificate %s; ssl_certificate_key %s;", b.cert, b.key)
			}
			configuration := fmt.Sprintf(nginxConfiguration, user, dir, b.memory, b.origin.address, port, protocol, certificate)
			return b.startFrom(ctx, dir, "nginx.conf", configuration, port, "nginx", "-p", dir, "-c", filepath.Join(dir, "nginx.conf"), "-e", "stderr")
		},
		unable: unableValkey,
	}
}

func unableValkey(l load) string {
	if l.valkey {
		return "no tier in Valkey"
	}
	return ""
}
