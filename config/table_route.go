package config

import "cacheproxy/policy"

// The policies that use a key, for keys that not all policies use.
var (
	caching  = []policy.Kind{policy.CacheAside, policy.ReadThrough, policy.WriteThrough, policy.RefreshAhead, policy.WriteBehind}
	unfenced = []policy.Kind{policy.Bypass, policy.CacheAside, policy.ReadThrough, policy.RefreshAhead}
	asking   = []policy.Kind{policy.CacheAside, policy.ReadThrough, policy.RefreshAhead}
	fencing  = []policy.Kind{policy.WriteThrough, policy.WriteBehind}
	sharing  = []policy.Kind{policy.CacheAside, policy.ReadThrough, policy.WriteThrough, policy.RefreshAhead}
	forwards = append(sharing[:len(sharing):len(sharing)], policy.Bypass)
	queueing = []policy.Kind{policy.WriteBehind}
	boarding = []policy.Kind{policy.Leaderboard}
	moded    = append(caching[:len(caching):len(caching)], policy.Leaderboard)
	proxying = append(caching[:len(caching):len(caching)], policy.Bypass)
	renewing = []policy.Kind{policy.RefreshAhead}
)

var routeKeys = section{
	{name: "name", is: aText, required: "is missing; write name: product", refuse: notAName("product"), means: "In metrics, the access log and purges; renaming a route empties its cache."},
	{name: "match", is: aTextOrList, required: "is missing; write match: GET /products/{id}, or a list of patterns", means: "[METHOD ][HOST]/path patterns of Go's net/http.ServeMux, or a list of them. HEAD comes with GET; without a method: all."},
	{name: "where", is: listsByName, means: "What else has to hold of a request: regular expressions for the whole value of a wildcard, of header.NAME, cookie.NAME or query.NAME, and client, the networks that it may be from. A request that does not fit is not this route's. Of routes with the same pattern those with where are tried first, in their order in the file."},
	{name: "upstream", is: aText, derived: "the only one", means: "The name of an upstream."},
	{name: "policy", is: aWordOf(kinds), required: "is missing; write policy: cache-aside, or bypass to cache nothing", means: "What the cache promises. cache-aside: copies, and the origin where the store cannot answer; read-through: a read that looks for a copy and finds none is 503 while the store is down; write-through: reads after a write see it; refresh-ahead: copies that are read often are renewed before they expire; write-behind: writes are answered before the API has them; leaderboard: scores are kept and ranked by the proxy; bypass: nothing is cached, and writes still invalidate."},
	{name: "mode", is: aWordOf(modes), byDefault: "on", heededBy: moded, means: "observe: never serve a copy, only measure; off: pass through. With policy: leaderboard, observe: the upstream answers, and what it accepts is recorded too."},
	{name: "mode_share", is: aPercentage, byDefault: "100%", heededBy: sharing, quiet: true, means: "Of the requests, drawn one by one; the others go as with mode: off. 10% to begin carefully."},

	{name: "key", is: aText, heededBy: caching, means: "The copy's name, to purge it by: a template of {wildcard}, {query.NAME}, {header.NAME}, {cookie.NAME} and {host}."},
	{name: "tags", is: aList, heededBy: caching, means: "Templates of names that many copies share; the origin can add its own in tag_headers."},
	{name: "query", is: aSection(queryKeys), heededBy: caching, means: "Which query parameters are part of the storage key, and seen by the origin on a fill."},
	{name: "headers", is: aListOf(aHeader), heededBy: caching, means: "Request headers that are part of the storage key and seen by the origin."},
	{name: "cookies", is: aListOf(aCookie), heededBy: caching, means: "Cookies that are part of the storage key and seen by the origin."},
	{name: "forward_headers", is: aWordOf(forwardings), byDefault: "listed", heededBy: caching, means: "Which request headers a fill forwards. all: plain RFC 9111, which trusts Vary to name what matters."},
	{name: "unlisted_headers", is: aWordOf(unlisteds), byDefault: "bypass", heededBy: caching, means: "Requests with a header that is not known to be harmless, not keyed and never named by Vary go past the cache. drop: ignore all such; key: each is part of the storage key."},
	{name: "content", is: aSection(contentKeys), heededBy: asking, quiet: true, means: "Reads that carry their question in the content, which is part of the storage key: QUERY and POST, each where a pattern names it. Without it QUERY passes, and POST is a write."},

	{name: "ttl", is: aDuration, derived: "a tenth of the time since Last-Modified, up to a day", positive: true, heededBy: caching, means: "Lifetime of a copy (200, 203, 204, 300, 301, 308) where the origin names none; longer needs purging to be reliable."},
	{name: "jitter", is: aPercentage, byDefault: "10%", refuse: refuse(func(share float64) bool { return share == 1 }, "takes the whole lifetime away; write 10%, the default, or at most 99%"), heededBy: caching, means: "Of ttl and negative_ttl, downwards only: copies filled together do not expire together."},
	{name: "stale_while_revalidate", is: aDuration, byDefault: "0s", heededBy: caching, means: "How long after its lifetime a copy is served while a new one is fetched: nobody waits (RFC 5861). Not for errors (400 and above). The origin's stale-while-revalidate goes before it, and its must-revalidate, proxy-revalidate, no-cache or s-maxage forbids it."},
	{name: "stale_if_error", is: aDuration, byDefault: "0s", heededBy: caching, means: "How long after its lifetime a copy is served while the origin is failing (RFC 5861): 500, 502, 503, 504, no answer, or no place for the request. Else as stale_while_revalidate; the origin's word is stale-if-error."},
	{name: "negative_ttl", is: aDuration, byDefault: "0s", heededBy: caching, means: "Lifetime of 404 and 410 where the origin names none: keeps requests for what is not there from the database. Without it, and without ttl, a tenth of the age of the API's Last-Modified, up to a day (RFC 9111 §4.2.2)."},
	{name: "override", is: aListOf(aWordOf(overrides)), heededBy: caching, means: "What the origin says and is not heeded: max-age, s-maxage, expires, no-cache, no-store, private, must-revalidate, set-cookie (kept, and sent to everyone), malformed (what cannot be read in Cache-Control)."},
	{name: "store_if", is: aSection(storeIfKeys), heededBy: caching, quiet: true, means: "Which responses are stored, of those that HTTP allows."},
	{name: "compression", is: aWordOf(compressions), byDefault: "none", heededBy: caching, means: "Text is held compressed, sent so to clients that accept it, and unpacked for others. ETags of compressed answers are weak: not where writes carry If-Match."},
	{name: "client_cache_control", is: aWordOf(clientDirectives), byDefault: "ignore", heededBy: caching, means: "honor: heed what clients ask of caches (no-cache, max-age, max-stale), so that each can send load past this one. only-if-cached is heeded by every read that a copy may answer."},
	{name: "targeted_cache_control", is: aListOf(aTarget), byDefault: "[CacheProxy-Cache-Control, CDN-Cache-Control, Surrogate-Control]", heededBy: caching, means: "Response fields for caches like this one; the first that is there and can be read goes before Cache-Control (RFC 9213). []: none."},
	{name: "range", is: aWordOf(rangeFetches), byDefault: "whole", heededBy: caching, means: "What a Range request fetches when no copy can answer it. whole: once for all ranges; part: only that part, which is kept; for large files."},
	{name: "ignore_headers", is: aListOf(aHeaderFamily), heededBy: caching, means: "Request headers that neither matter nor reach the origin on a fill; * ends the beginning of some. Accept-Language where the origin has one language: else there is a copy for each that clients prefer."},
	{name: "ignore_cookies", is: cookiesOrAll, heededBy: caching, means: "Cookies that neither matter nor reach the origin on a fill; * ends the beginning of some, all stands for every one."},
	{name: "response", is: aSection(responseKeys), quiet: true, means: "In what clients get other fields than the origin has said: of copies, of boards, and of what passes. Copies keep what the origin said; the proxy's own errors stay as they are, and so does private or no-store of the origin in answers for one client."},
	{name: "strip_set_cookie", is: aFlag, byDefault: "false", heededBy: caching, means: "Answers are stored without their Set-Cookie, instead of not at all."},
	{name: "share_authorized", is: aFlag, byDefault: "false", heededBy: caching, means: "Requests with Authorization use the cache like any other."},
	{name: "refresh_at", is: aPercentage, byDefault: "80%", refuse: refuse(func(share float64) bool { return share == 0 || share == 1 }, "is not inside the lifetime; write 80%, the default, or 1% to 99%"), heededBy: renewing, quiet: true, means: "Share of its lifetime after which a read has a copy renewed, at a moment of its own in the first half of what is left."},
	{name: "min_hits", is: aNumber, byDefault: "2", heededBy: renewing, means: "Reads since the last fill that make a copy worth renewing."},
	{name: "max_waiters", is: aNumber, byDefault: "10000", positive: true, heededBy: caching, means: "Requests that may wait for one fill."},
	{name: "wait_timeout", is: aDuration, derived: "the upstream's timeout", positive: true, heededBy: caching, means: "How long they wait before they go to the origin themselves; where it is not shorter than the upstream's timeout, for the end of the fetch."},

	{name: "on_write", is: aWordOf(onWrites), byDefault: "invalidate", heededBy: caching, means: "store: keep the response to a write where it says that it is what a GET would get, by a Content-Location that is the URL. With policy: write-through."},
	{name: "failed_writes", is: aWordOf(failedWrites), byDefault: "invalidate", heededBy: unfenced, means: "keep: believe a 5xx answer that nothing has changed, as RFC 9111 §4.4 does. Otherwise copies are confirmed by the origin before they are used. Without an answer they are in any case."},
	{name: "store_down", is: aWordOf(storeDowns), derived: "reject with policy: write-through, write-behind or serialize_writes, else forward", heededBy: proxying, means: "A write when its invalidation cannot be recorded beforehand. reject: 503; forward: write anyway, and make up for it later."},
	{name: "fence_hold", is: aDuration, derived: "twice the upstream's timeout", positive: true, heededBy: fencing, means: "How long a write of unknown outcome keeps copies away."},
	{name: "on_lease_loss", is: aWordOf(leaseLosses), byDefault: "origin", heededBy: caching, means: "With valkey, without news of purges. origin: no copies are used; serve_stale: those in memory are, for lease_loss_max, whatever was purged."},
	{name: "lease_loss_max", is: aDuration, positive: true, heededBy: caching, quiet: true, means: "With on_lease_loss: serve_stale, which needs it: the oldest purge that clients may miss."},
	{name: "write_key", is: aText, derived: "its host and path", heededBy: proxying, means: "What a write is about: a template of {wildcard} and {host}. With write-behind, writes of one key reach the upstream in their order; a write of another route waits for those before it that have its key."},
	{name: "serialize_writes", is: aFlag, byDefault: "false", heededBy: forwards, means: "Writes of one write_key reach the upstream one after the other, with valkey those of all instances. Up to 64 of a key wait in each, for the upstream's timeout at most; more, and later: 503."},
	{name: "write_behind", is: aSection(writeBehindKeys), heededBy: queueing, quiet: true, means: "What is answered before the upstream has it. With policy: write-behind, which needs valkey with secrets."},
	{name: "leaderboard", is: aSection(boardKeys), heededBy: boarding, quiet: true, means: "What is kept and ranked. With policy: leaderboard, which needs records or valkey; with valkey alone, a reload that brings the first such route is refused: restart."},
	{name: "invalidates", heededBy: proxying, is: orNoneFor("nothing", append(targetKeys[:len(targetKeys):len(targetKeys)],
		key{name: "otherwise", is: aSection(otherwiseKeys), quiet: true, means: "Besides, when a body or an answer cannot be read or a value is not there. Templates have {wildcard} and {host} alone."},
		key{name: "nothing", is: aFlag, quiet: true, means: "In place of all others: a write makes nothing unusable, not even copies of its own URL, and no other instance is told of it. invalidates: none is the same."})),
		quiet: true, means: "What a write makes unusable besides its URL and those in Location and Content-Location of its answer, on every instance before the client has its answer, else detail=not-confirmed. With write-behind: before its state is done."},
}

var writeBehindKeys = section{
	{name: "status_path", is: aText, required: "is missing; write a path of this proxy's own, such as status_path: /_writes/", refuse: unlike(statusPath, "is not a path that ends in a slash; write one such as /_writes/"), means: "Where clients see what has become of a write: Location of the 202 is this path and an id that nobody can guess. Whoever knows the id may see the state, and nothing of the request."},
	{name: "authorize", is: textsOrNone, required: "is missing; write authorize: {upstream: NAME, path: /may-write}, or authorize: none where anybody may write or the upstream's refusal may come later", means: "Who is asked first whether the client may write: GET of path at upstream, with the client's header, X-Forwarded-Method and X-Forwarded-Uri; 2xx: yes; 401, 403: no; else 503. none: nobody."},
	{name: "durability", is: aWordOf(behindDurabilities), byDefault: "fsync", means: "What has to be true before a write is answered with 202. fsync: it is on Valkey's disk (WAITAOF; appendonly yes); replicas: a replica has it (WAIT)."},
	{name: "max_queued", is: aNumber, byDefault: "10000", positive: true, means: "Writes of the route that are not done, dead letters among them; more: 503."},
	{name: "max_per_key", is: aNumber, byDefault: "100", positive: true, means: "Writes that wait with one key, a dead letter that blocks it among them; more: 503."},
	{name: "max_body", is: aByteCount, byDefault: "1MiB", refuse: outside[int64](1, 16<<20, "is not between 1B and 16MiB; write 1MiB, the default", "is not between 1B and 16MiB; write 1MiB, the default"), means: "Of one write; more: 413. 1B to 16MiB."},
	{name: "max_age", is: aDuration, byDefault: "24h", positive: true, means: "From the first try of a write to the last; then it is a dead letter."},
	{name: "retry", is: aWordOf(behindRetries), byDefault: "safe", means: "What is tried again when nobody knows whether it was done. safe: PUT and DELETE, others wait for an operator; idempotency-key: all, because the API heeds Idempotency-Key."},
	{name: "read_pending", is: aWordOf(readPendings), byDefault: "stale", means: "What a read of the route gets while writes of its key wait. overlay: what the last of them puts there, where the reader may see it, else as wait; wait: it waits; stale: what it would get otherwise."},
	{name: "patience", is: aDuration, byDefault: "5s", positive: true, means: "How long a read, or a write that has to go through, waits for those before it; then 503."},
}

var queryKeys = section{
	{name: "include", is: aListOf(aParameter), means: "Parameters that are part of the storage key and seen by the origin; utm_* for a prefix."},
	{name: "exclude", is: aListOf(aParameter), means: "Parameters that are dropped. Where only exclude is written, the rest is keyed."},
	{name: "sort", is: aFlag, byDefault: "false", means: "?a&b and ?b&a share a copy."},
	{name: "unlisted", is: aWordOf(unlisteds), byDefault: "bypass", means: "Requests with other parameters. bypass: go past the cache; drop: the parameters are removed; key: they are kept, so that anyone can make new copies."},
}

var responseKeys = section{
	{name: "set", is: textsByName, means: "Header fields by name, in place of the origin's of that name."},
	{name: "remove", is: aListOf(aHeader), means: "Header fields that are taken off."},
}

var contentKeys = section{
	{name: "max", is: aByteCount, byDefault: "64KiB", refuse: outside[int64](1, 1<<20, "is not between 1B and 1MiB; write 64KiB, the default", "is not between 1B and 1MiB; write 64KiB, the default"), means: "Larger content goes the usual way. 1B to 1MiB."},
	{name: "graphql", is: aFlag, byDefault: "false", means: "A POST is a read only if it holds GraphQL queries and no other operation."},
}

var storeIfKeys = section{
	{name: "content_type", is: aListOf(aMediaType), means: "Media types; image/* for a family."},
	{name: "min_bytes", is: aByteCount, byDefault: "0", means: "Some origins answer errors with 200 and nothing."},
}

var targetKeys = section{
	{name: "keys", is: aList, means: "Templates of keys of copies; {body.PATH} is a value of the JSON body, {response.PATH} one of the JSON that answers it, # in it every element."},
	{name: "tags", is: aList, means: "Templates of tags."},
	{name: "urls", is: aListOf(aURLTemplate), means: "Templates of a path for every host, or of http://host/path; without a query: with every query."},
	{name: "prefixes", is: aListOf(aPrefix), means: "Templates of a path and everything below it."},
	{name: "routes", is: aList, means: "Every copy of a route."},
}

// otherwiseKeys are target keys without placeholders that a request may lack.
var otherwiseKeys = append(section{{name: "keys", is: aList, means: "Templates of keys of copies."}}, targetKeys[1:]...)
