package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"cacheproxy/test/servers"
)

// trafficRoot moves all of Traffic Server's folders but the package's into a folder of its own.
const trafficRoot = `prefix: %[1]s
exec_prefix: %[1]s
bindir: /usr/bin
sbindir: /usr/sbin
sysconfdir: %[1]s/etc
datadir: %[1]s
includedir: /usr/include
libdir: /usr/lib/trafficserver
libexecdir: /usr/lib/trafficserver/modules
localstatedir: %[1]s/run
runtimedir: %[1]s/run
logdir: %[1]s/log
mandir: /usr/share/man
infodir: /usr/share/info
cachedir: %[1]s/cache
`

// trafficRecords has one thread, all copies in memory as well as in the file, the user of this process ("#-1"), and no
// helper that waits for a crash.
const trafficRecords = `CONFIG proxy.config.exec_thread.autoconfig INT 0
CONFIG proxy.config.exec_thread.limit INT 1
CONFIG proxy.config.exec_thread.affinity INT 0
CONFIG proxy.config.accept_threads INT 0
CONFIG proxy.config.admin.user_id STRING #-1
CONFIG proxy.config.crash_log_helper STRING NULL
CONFIG proxy.config.net.connections_throttle INT 15000
CONFIG proxy.config.net.max_connections_in INT 12000
CONFIG proxy.config.http.server_ports STRING %[1]d%[2]s
CONFIG proxy.config.http.wait_for_cache INT 1
CONFIG proxy.config.reverse_proxy.enabled INT 1
CONFIG proxy.config.cache.ram_cache.size INT %[3]d
CONFIG proxy.config.cache.min_average_object_size INT 2500
CONFIG proxy.config.ssl.server.cert.path STRING /
CONFIG proxy.config.ssl.server.private_key.path STRING /
`

// trafficLog is the log of the package's default configuration.
const trafficLog = `logging:
  formats:
    - name: squid
      format: '%<cqtq> %<ttms> %<chi> %<crc>/%<pssc> %<psql> %<cqhm> %<cquc> %<caun> %<phr>/%<shn> %<psct>'
  logs:
    - filename: squid
      format: squid
      mode: binary
`

const trafficAllow = `ip_allow:
  - {apply: in, ip_addrs: 127.0.0.1, action: allow, methods: ALL}
`

func trafficServer() peer {
	return peer{
		name: "Traffic-Server", program: "traffic_server", version: []string{"traffic_server", "-V"},
		start: func(ctx context.Context, b *bed, dir string) (*server, error) {
			port, err := servers.FreePort()
			if err != nil {
				return nil, err
			}
			protocol, certificate := "", ""
			if b.load.tls {
				protocol, certificate = ":ssl", fmt.Sprintf("dest_ip=* ssl_cert_name=%s ssl_key_name=%s\n", b.cert, b.key)
			}
			for _, folder := range []string{"etc", "run", "log", "cache"} {
				if err := os.Mkdir(filepath.Join(dir, folder), 0o700); err != nil {
					return nil, fmt.Errorf("make folder of Traffic Server: %w", err)
				}
			}
			for name, text := range map[string]string{
				"remap.config":         fmt.Sprintf("map / http://%s/\n", b.origin.address),
				"records.config":       fmt.Sprintf(trafficRecords, port, protocol, b.memory),
				"storage.config":       fmt.Sprintf("%s/cache %d\n", dir, max(b.memory, 128<<20)),
				"ssl_multicert.config": certificate,
				"logging.yaml":         trafficLog,
				"ip_allow.yaml":        trafficAllow,
				"plugin.config":        "",
			} {
				if err := os.WriteFile(filepath.Join(dir, "etc", name), []byte(text), 0o600); err != nil {
					return nil, fmt.Errorf("write configuration of Traffic Server: %w", err)
				}
			}
			return b.startFrom(ctx, dir, "runroot.yaml", fmt.Sprintf(trafficRoot, dir), port, "env", "TS_RUNROOT="+dir, "traffic_server")
		},
		unable: unableValkey,
	}
}
