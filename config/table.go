package config

// top is the table of keys: the keys at the top of a file, and through them all keys below. A new key needs a row, its
// use where its section is compiled, and a line in config.example.yaml.
var top = section{
	{name: "listen", is: aText, byDefault: "127.0.0.1:8080", refuse: notAnAddress, takes: atStart, means: "host:port where clients connect; :8080 stands for every interface. HTTP/1.1; with tls or h2c also HTTP/2."},
	{name: "tls", is: aSection(listenerTLSKeys), takes: switched, quiet: true, means: "The certificate of the listener. With it, clients may speak HTTP/2."},
	{name: "h2c", is: aFlag, byDefault: "false", takes: atStart, means: "HTTP/2 without TLS, for gRPC clients or a balancer that speaks it."},
	{name: "hit_path", is: aFlag, byDefault: "true", takes: atStart, means: "Hits of HTTP/1.1 without TLS may be answered where the connection is read, at less cost, with the same answers. No effect with tls, h2c or tracing."},
	{name: "trusted_proxies", is: networksOrOne, means: "Networks of proxies in front: whose X-Forwarded-*, Forwarded and X-Request-Id are believed; what others say there is not passed on. private: 10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16, fc00::/7 and this machine. The first, and the end of the last, begin the copies of every route anew."},
	{name: "proxy_protocol", is: networksOrOne, takes: atStart, means: "Networks of balancers that introduce each client by the PROXY protocol, version 1 or 2: their connections must begin with it, and count as those of the client that it names."},
	{name: "reuse_port", is: aFlag, byDefault: "false", takes: atStart, means: "Without effect, and refused by the next release: let the service manager keep the socket (LISTEN_FDS)."},
	{name: "drain_delay", is: aDuration, byDefault: "5s", means: "From SIGTERM, when the instance says that it is not ready, to the end of accepting; longer than your balancer takes to notice."},
	{name: "shutdown_timeout", is: aDuration, byDefault: "30s", means: "From the end of accepting to the end of requests, streams and WebSockets that are still under way."},
	{name: "cache_status", is: aWordOf(cacheStatuses), byDefault: "on", means: "What clients are told about an answer in Cache-Status (RFC 9211). key: the storage key too, for debugging; off: nothing, and the field passes as the API has it."},
	{name: "cache_status_key", is: aFlag, byDefault: "false", quiet: true, means: "As cache_status: key, and refused by the next release: write that."},
	{name: "tag_headers", is: aListOf(aHeader), byDefault: "[Surrogate-Key, Xkey, Cache-Tag, Cache-Tags, X-Cache-Tags, X-Magento-Tags]", means: "Headers in which responses of the APIs list tags. Clients do not get them, but for Cache-Tag. A change begins the copies of every route anew."},
	{name: "limits", is: aSection(limitsKeys), takes: atStart, means: "What clients can take. None bounds a body or an answer that comes on, as body_timeout and write_timeout measure it."},
	{name: "admin", is: aSection(adminKeys), means: "The listener of operators: health, metrics, purge, explain, modes."},
	{name: "log", is: aSection(logKeys), means: "What is logged."},
	{name: "tracing", is: aSection(tracingKeys), takes: atStart, quiet: true, means: "OpenTelemetry traces, over OTLP. Without endpoint, here or in OTEL_EXPORTER_OTLP_ENDPOINT or OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: none."},
	{name: "memory", is: aSection(memoryKeys), means: "The copies in this process."},
	{name: "valkey", is: aSection(valkeyKeys), takes: atStart, quiet: true, means: "The server that several instances share: copies, and every word of a purge. Without it, this process runs alone."},
	{name: "records", is: aSection(recordsKeys), takes: atStart, quiet: true, means: "The server that keeps the boards of routes with policy: leaderboard. Without it: valkey, where copies are too."},
	{name: "postgres", is: aSection(postgresKeys), takes: switched, quiet: true, means: "The database behind the APIs, whose changes make copies unusable, also those that did not come through the proxy."},
	{name: "shared_limits", is: sections(sharedLimitKeys), means: "Limits that upstreams share, by limit: where several APIs stand before one database. Those of clients are limits."},
	{name: "upstreams", is: sections(upstreamKeys), required: `is missing or empty; write at least one: - {name: api, url: "http://127.0.0.1:9000"}`, means: "The APIs behind. What matches no route goes to the first, also a method, such as OPTIONS, of a path that routes of another have for other methods only."},
	{name: "routes", is: sections(routeKeys), byDefault: "[]", means: "What is done with which requests. The most specific pattern wins, whatever the order; of the same pattern routes with where come first, in their order."},
}

// The proxy reads the files again when they change. Open connections keep the settings that they began with.
var listenerTLSKeys = section{
	{name: "cert", is: aText, means: "PEM file of the chain, the server's own certificate first."},
	{name: "key", is: aText, means: "PEM file of its private key."},
	{name: "min_version", is: aTLSVersion, byDefault: "1.2", means: "The oldest TLS that is spoken; 1.3 shuts out old clients."},
}

// Limits need a restart: open connections keep the timeouts that they began with, and more may be open than a lower
// limit allows.
var limitsKeys = section{
	{name: "max_connections", is: aNumber, byDefault: "10000", positive: true, zeroWould: "let nobody in", means: "Connections at a time. For one more, those that have waited longest without a request are closed, up to a 64th of all; while all are at work it waits. As many requests of HTTP/2; one more: 503. Lowered to what ulimit -n leaves."},
	{name: "max_connections_per_client", is: aNumber, byDefault: "0", means: "Connections of one address; not where clients come through a balancer or NAT. 0: no limit."},
	{name: "read_header_timeout", is: aDuration, byDefault: "10s", positive: true, zeroWould: "let clients hold connections for nothing", means: "For a request's header over HTTP/1.1, and for a PROXY header. Over HTTP/2 idle_timeout is, 45s at most."},
	{name: "idle_timeout", is: aDuration, byDefault: "75s", positive: true, zeroWould: "keep idle connections for ever", means: "For the next request of a connection; longer than that of your balancer."},
	{name: "body_timeout", is: aDuration, byDefault: "30s", positive: true, zeroWould: "let clients hold requests for nothing", means: "How long a request's body may keep the proxy waiting; from then on, less than 500 bytes a second: 408. Not for what is only let by (no route, observe, off, outside of the share), unless limit_passing is set, nor for gRPC, if the upstream is h2c:// or https://."},
	{name: "write_timeout", is: aDuration, byDefault: "60s", positive: true, zeroWould: "let clients hold answers for ever", means: "How long a client may take nothing of an answer, or less than 500 bytes a second (over HTTP/2: less than 16KiB in that time); then the connection, or the stream of HTTP/2, is closed."},
	{name: "max_header_bytes", is: aSize, byDefault: "64KiB", refuse: outside[int64](4<<10, 16<<20, "is less than 4KiB, which browsers exceed; write 64KiB", "is more than 16MiB, which every client can make the proxy hold; write 64KiB"), means: "Of a request, to within 4KiB; more: 431, and over HTTP/2, where it is much more, the end of the connection."},
	{name: "max_body", is: aByteCount, byDefault: "0", takes: afterReload, means: "Of a request; more: 413. 0: any size."},
}

var adminKeys = section{
	{name: "listen", is: aText, byDefault: "127.0.0.1:8081", refuse: notAnAddress, takes: atStart, means: "host:port of the listener of operators; never that of clients."},
	{name: "tls", is: aSection(listenerTLSKeys), takes: switched, quiet: true, means: "The certificate of this listener, where tokens go over a network."},
	{name: "tokens", is: sections(tokenKeys), means: "Who may call, and what; several, to rotate. Required unless the address is loopback."},
}

var tokenKeys = section{
	{name: "name", is: aText, required: "is missing; write name: ci", refuse: notAName("ci"), means: "Whose token it is, in the log."},
	{name: "token", is: aSecret, refuse: refuse(shortToken, "is shorter than 16 characters; make one with: openssl rand -hex 32"), means: "The secret: after Authorization: Bearer, as the password of Authorization: Basic, or in Fastly-Key; 16 characters or more. Required, unless from and sites stand for it."},
	{name: "from", is: aListOf(aNetwork), means: "Networks in which the other end of the connection has to be; with token, both are needed. Without token: for plugins that can send no secret, purges alone, and no call that a proxy has brought."},
	{name: "sites", is: aListOf(aSite), means: "Hosts of which it may purge URLs and prefixes, and of no other; keys and routes then not at all. Required without token: Host has to be one of them."},
	{name: "tags", is: tagsOrAll, means: "How the tags begin that a token with sites, or with this, may purge; all: any. A tag has no host: copies of all sites that carry it go. Default: none where there are sites."},
	{name: "allow", is: aListOf(aWordOf(permissions)), required: "is missing; write allow: [purge], or any of purge, purge-all, mode, read, all", means: "What it may be used for: purge; purge-all (that, and everything of a host or of all); mode; read; all. With sites or tags, or without token: purge, and with a token purge-all."},
}

var logKeys = section{
	// Lines of two forms in one stream cannot be parsed.
	{name: "format", is: aWordOf(logFormats), byDefault: "json", takes: atStart, means: "json: one object a line; text: logfmt; off: nothing but the failure that ends the process."},
	{name: "fields", is: aWordOf(logFields), byDefault: "short", takes: atStart, means: "short: names such as status and route; otel: those of OpenTelemetry's semantic conventions, such as http.response.status_code."},
	{name: "level", is: aLogLevel, byDefault: "info", means: "The least level of the program's own lines. The access log, and calls of operators but for health and metrics, are written at any level."},
	{name: "hits", is: aShare, byDefault: "1%", means: "The share of answers from copies, fresh or stale, in the access log, of boards that were read or submitted to, and of would_hit on observed routes: they are many and alike."},
	{name: "others", is: aShare, byDefault: "100%", means: "The share of everything else. Errors (500 and above, broken off, refused) are always written."},
}

// Tracing needs a restart: spans under way belong to the running exporter.
var tracingKeys = section{
	{name: "endpoint", is: aText, means: "URL of the collector; without a path: /v1/traces."},
	{name: "protocol", is: aWordOf(exportProtocols), byDefault: "http/protobuf", means: "How spans go there."},
	{name: "sample", is: aShare, byDefault: "1%", means: "Of requests; one that belongs to a trace already is sampled if that is."},
	{name: "service", is: aText, byDefault: "cacheproxy", means: "service.name: give each fleet its own."},
	{name: "headers", is: secretsByName, means: "Header fields that are sent with every export."},
	{name: "timeout", is: aDuration, byDefault: "5s", positive: true, means: "For one export, after which its spans are lost."},
}

var memoryKeys = section{
	{name: "size", is: aMemorySize, byDefault: "512MiB", means: "Of all copies in this process, and of answers and requests that are on their way; auto: half of the memory limit of the container, or of the machine where there is none."},
	{name: "max_object", is: aSize, byDefault: "8MiB", means: "Of one copy; larger responses stream through unstored."},
}
