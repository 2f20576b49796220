package config

import "time"

// These keys need a restart: the fleet that this instance has joined depends on them.
var valkeyKeys = section{
	{name: "url", is: aText, means: "valkey://host:port/database; valkeys:// for TLS; user:password@ before the host; several hosts, comma-separated: a cluster. Valkey 7.2 or later, or Redis 7."},
	{name: "sentinel", is: aSection(sentinelKeys), quiet: true, means: "Instead of url: the sentinels know where the server is."},
	{name: "username", is: aText, means: "Here a name needs no escapes, as it does in url."},
	{name: "password", is: aSecret, means: "Here a secret needs no escapes, as it does in url."},
	{name: "tls", is: aSection(serverTLSKeys), quiet: true, means: "With valkeys://, or with sentinel, which then speaks TLS too."},
	{name: "secrets", is: secretList, means: "What copies and entries there are signed with, by the first, and verified by, any of them; 32 bytes or more each. The same on every instance."},
	{name: "signatures", is: aWordOf(signatures), byDefault: "verify", means: "With secrets. verify: a signature that is there has to be right; require: it has to be there, once every instance has the secrets."},
	{name: "prefix", is: aText, byDefault: "cacheproxy", refuse: unlike(keyPrefix, "cannot begin keys; use up to 64 letters, digits, dots, dashes, underscores and colons, such as shop"), means: "Of every key in it: each fleet has its own."},
	{name: "timeout", is: aDuration, byDefault: "50ms", positive: true, means: "For one read; then it counts as a miss. At most a quarter of lease."},
	{name: "lease", is: aDuration, byDefault: "3s", positive: true, refuse: outside(500*time.Millisecond, time.Minute, "is less than 500ms, so that a pause of the server or of this process would make every copy unusable; write 3s", "is more than 1m0s; a purge waits that long for an instance that has died; write 3s"), means: "How long an instance may use copies without news of purges; a purge waits that long, and a twentieth (50ms at the least) more, for one that died. 500ms to 1m."},
	{name: "required", is: aFlag, byDefault: "false", means: "Do not start without it."},
	{name: "durability", is: aWordOf(durabilities), byDefault: "none", means: "replicas: what a purge or a write makes unusable is confirmed only when a replica has it (WAIT); an instance that starts while there is none uses no copies."},
	{name: "compress", is: aWordOf(compresses), byDefault: "none", means: "zstd: copies are compressed on their way there and in its memory."},
	{name: "instance", is: aText, derived: "the machine's name", refuse: notAName("${HOSTNAME}"), means: "Of this process, in receipts of purges; each process adds something of its own."},
}

// New connections to the server present the client certificate of the last reload.
var serverTLSKeys = section{
	{name: "ca", is: aText, derived: "the system's authorities", means: caMeans},
	{name: "cert", is: aText, takes: afterReload, means: certMeans},
	{name: "key", is: aText, takes: afterReload, means: clientKeyMeans},
	{name: "server_name", is: aText, derived: "the host it connects to", refuse: notAServer, means: serverNameMeans},
}

var sentinelKeys = section{
	{name: "master", is: aText, required: "is missing; write the name under which the sentinels watch the server, such as master: mymaster", means: "The name under which the sentinels watch the server."},
	{name: "addresses", is: aList, required: `is missing or empty; write addresses: ["10.0.0.1:26379"], best of all sentinels`, means: "host:port of the sentinels, best of all."},
	{name: "username", is: aText, means: "At the sentinels."},
	{name: "password", is: aSecret, means: "At the sentinels."},
}

const (
	caMeans         = "PEM file of the authorities that verify the server."
	certMeans       = "PEM file of the client certificate that is shown to the server, and its chain."
	clientKeyMeans  = "PEM file of the key of that certificate."
	serverNameMeans = "The name under which the server is verified, and which is sent as SNI. The Host of requests does not change it."
)
