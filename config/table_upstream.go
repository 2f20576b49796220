package config

import "slices"

var upstreamKeys = slices.Concat(section{
	{name: "name", is: aText, required: "is missing; write name: api", refuse: notAName("api"), means: "In routes, metrics and the log."},
	{name: "url", is: anAddressOrList, required: "is missing; write url: http://127.0.0.1:9000", means: "http://, https://, or h2c:// for gRPC; several addresses of one service as a list."},
	{name: "host", is: aText, byDefault: "pass", refuse: unlike(hostForm, "is not a host; write pass, upstream or a name such as api.example.com"), means: "The Host that the upstream sees. pass: the client's, part of the storage key; upstream: that of the address used; or a literal. The last two are not keyed, and a shared fetch says nothing of the client's."},
	{name: "health", is: aSection(healthKeys), quiet: true, means: "GET to every address. One that fails the first, or three in a row, gets no requests until it answers two, unless all do."},
	{name: "timeout", is: aDuration, byDefault: "60s", positive: true, means: "To the response headers; then 504, or a copy that stale_if_error allows. Longer than your slowest endpoint. Not for what is only let by (see limit_passing)."},
	{name: "connect_timeout", is: aDuration, derived: "3s, or half of timeout where that is less", positive: true, means: "To connect, and once more for TLS; then another address is tried, where there is one."},
	{name: "read_timeout", is: aDuration, byDefault: "1m", positive: true, means: "Without a byte in the middle of a response; then it breaks off. Not for streams, nor for what is only let by."},
	{name: "max_connection_age", is: aDuration, byDefault: "1m", means: "For how long a connection takes further requests, or up to a quarter less; then the host's name is asked for anew. 0: for as long as it lasts."},
	{name: "direct", is: aFlag, byDefault: "true", means: "Requests to http:// without content, Upgrade and Expect go over connections of their own, at less cost, with the same answers."},
	{name: "limit", is: aText, means: "Name of a shared limit, in place of the keys from max_in_flight to limit_passing: for APIs before one database."},
}, placeKeys, section{
	{name: "settle", is: aDuration, positive: true, quiet: true, means: "What is invalidated is invalidated once more after this long: for an API that reads from replicas which lag, or is told of a change before it commits."},
	{name: "ca", is: aText, derived: "the system's authorities", means: caMeans + " With https://."},
	{name: "cert", is: aText, means: certMeans + " With https://."},
	{name: "key", is: aText, means: clientKeyMeans},
	{name: "server_name", is: aText, derived: "the host of url", refuse: notAServer, means: serverNameMeans},
})

// placeKeys bound the requests at work behind an upstream, or behind the upstreams of a shared limit.
var placeKeys = section{
	{name: "max_in_flight", is: aNumber, positive: true, zeroWould: "let nothing through", quiet: true, means: "Concurrent requests to all addresses together: about what the database behind can work on. Without it no request of a client waits for a place, or is refused one."},
	{name: "max_queue", is: aNumber, byDefault: "256", means: "Requests that wait for a place, classes, routes and clients taking turns; beyond it: 503 with Retry-After, or a copy that stale_if_error allows. 0: none wait. With max_in_flight."},
	{name: "queue_timeout", is: aDuration, byDefault: "1s", positive: true, means: "How long they wait; then the same. With max_in_flight."},
	{name: "max_streams", is: aNumber, derived: "1000 with max_in_flight, else any number", quiet: true, means: "Upgrades, event streams, gRPC, requests whose client is slow to send its body, and answers that clients take slowly, which are counted apart; one client has a quarter of them at most, or one. 0: none."},
	{name: "fleet_max_in_flight", is: aNumber, positive: true, zeroWould: "let no instance ask", quiet: true, means: "Concurrent requests of all instances together, of which each takes its share, one at the least. With valkey and max_in_flight."},
	{name: "limit_passing", is: aFlag, byDefault: "false", means: "Have the limit and the timeouts hold what the proxy only lets by, too: routes that are observed or off, requests outside of the share of a mode, and those that match no route. Else those count, and are neither made to wait nor refused. With max_in_flight."},
}

// sharedLimitKeys are not called limitsKeys because limits, at the top, are the limits of clients.
var sharedLimitKeys = slices.Concat(section{
	{name: "name", is: aText, required: "is missing; write name: db", refuse: notAName("db"), means: "In limit: of the upstreams that share it."},
}, requiring("max_in_flight", "is missing; write about what the database behind can work on at once, such as max_in_flight: 64", placeKeys))

// requiring is the keys of a section with one of them required.
func requiring(name, otherwise string, keys section) section {
	keys = slices.Clone(keys)
	k, _ := keys.row(name)
	k.required = otherwise
	return keys
}

var healthKeys = section{
	{name: "path", is: aText, required: "is missing; write path: /healthz, or remove health", refuse: unlike(healthPath, "is not a path; write one that begins with / such as /healthz"), means: "Path, and perhaps query, of the GET; any status from 200 to 399 is well."},
	{name: "interval", is: aDuration, byDefault: "2s", positive: true, means: "Between two checks of an address."},
	{name: "timeout", is: aDuration, byDefault: "1s", positive: true, means: "For the whole answer."},
}
