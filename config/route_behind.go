package config

import (
	"net/http"
	"slices"
	"strings"

	"cacheproxy/policy"
	"cacheproxy/policy/httpcache"
	"cacheproxy/proxy/upstream"
	"cacheproxy/writebehind"
)

// compileBehind compiles how a route answers writes before its upstream does, and the key that orders the route's
// writes.
func compileBehind(doc *part, r *policy.Route, s *Snapshot) {
	if doc.has("write_key") {
		compileWriteKey(doc, r)
	}
	section := doc.Part("write_behind")
	switch {
	case r.Policy != policy.WriteBehind || doc.spoiled("write_behind"):
		return
	case !section.written():
		doc.problem("write_behind", "is missing; write write_behind: {status_path: /_writes/, authorize: {upstream: NAME, path: /may-write}}")
		return
	}
	section.there = true
	if doc.has("store_down") && !doc.flag("store_down") {
		doc.problem("store_down", "forward would let writes overtake those that wait; remove it, or write store_down: reject")
	}
	if r.OnWrite == policy.OnWriteStore {
		doc.problem("on_write", "store has no effect with policy: %s, whose answers are not the upstream's; remove it", r.Policy)
	}
	switch {
	case s.Valkey == nil:
		doc.problem("policy", "%s keeps writes on Valkey; add valkey: {url: ..., secrets: [...]}, or write policy: write-through", r.Policy)
	case len(s.Valkey.Secrets) == 0:
		doc.problem("policy", "%s keeps what clients send on Valkey, credentials too, and closes it with valkey.secrets; add secrets: [\"${file:/run/secrets/valkey-sign}\"]", r.Policy)
	case s.Valkey.Cluster():
		doc.problem("policy", "%s does not work on a cluster yet: a write is proved safe on one connection to one server; use a single server or sentinels", r.Policy)
	}
	rules := &writebehind.Rules{
		StatusPath: section.text("status_path"), Durability: read[writebehind.Durability](section, "durability"), MaxQueued: section.number("max_queued"),
		MaxPerKey: section.number("max_per_key"), MaxBody: section.bytes("max_body"), MaxAge: section.duration("max_age"), Repeats: section.flag("retry"),
		ReadPending: read[writebehind.ReadPending](section, "read_pending"), Patience: section.duration("patience"),
	}
	rules.AuthorizeUpstream, rules.AuthorizePath = compileAuthorize(section, s.Upstreams)
	reads := matches(r, func(method string) bool { return method == http.MethodGet || method == http.MethodHead })
	if rules.ReadPending != writebehind.Stale && !reads && !doc.spoiled("match") {
		section.problem("read_pending", "has no effect: no pattern of this route reads; add GET to match, or remove it")
	}
	warnOfBehind(doc, section, rules)
	s.Behind[r.Name] = rules
}

// compileWriteKey takes only placeholders that every request of the route has, so that every write has a key.
func compileWriteKey(doc *part, r *policy.Route) {
	t, ok := compileTemplate(doc, r, "write_key", doc.text("write_key"))
	if !ok {
		return
	}
	for _, p := range t.Placeholders() {
		if p.Kind != policy.FromWildcard && p.Kind != policy.FromHost {
			doc.problem("write_key", "names %s of the query, a header, a cookie or the body, which a write may lack; name wildcards of the path, or {host}", quote(p.Name))
		}
	}
	r.WriteKey = t
}

// compileAuthorize is the upstream, and the path there, that decides whether a client may write; empty: nobody decides.
func compileAuthorize(doc *part, upstreams []upstream.Options) (at, path string) {
	of := read[map[string]string](doc, "authorize")
	if _, none := of[noneWord]; none || len(of) == 0 || doc.spoiled("authorize") {
		return "", ""
	}
	for name := range of {
		if name != "upstream" && name != "path" {
			doc.problem(join("authorize", name), "unknown key; use upstream and path")
		}
	}
	at, path = of["upstream"], of["path"]
	var known []string
	for _, o := range upstreams {
		known = append(known, o.Name)
	}
	switch {
	case !slices.Contains(known, at):
		doc.problem("authorize", "names upstream %s, which is none; write %s, or add it to upstreams", quote(at), oneOf(known))
	case !healthPath.MatchString(path):
		doc.problem("authorize", "names path %s, which is none; write one that begins with / such as path: /may-write", quote(path))
	}
	return at, path
}

// warnOfBehind warns of the risks that the owner of a write-behind route accepts.
func warnOfBehind(route, doc *part, rules *writebehind.Rules) {
	lost := "what Valkey has not yet copied to its replicas is lost in a failover, although it was answered with 202"
	if rules.Durability == writebehind.Replicas {
		lost = "what only one replica has in its memory is lost when that one and the server fail together, although it was answered with 202"
	}
	route.warn("policy", "this proxy answers writes with 202 before the upstream has them, so that the upstream can refuse what was accepted; a crash of a proxy loses none; %s", lost)
	if rules.AuthorizeUpstream == "" {
		doc.warn("authorize", "none accepts writes from anybody, until the queue is full; the upstream's refusal comes later, and nobody is told but the operator")
	}
	if rules.Repeats {
		doc.warn("retry", "repeats POST and PATCH whose outcome nobody knows; an API that does not heed Idempotency-Key does them twice")
	}
}

// reportStatusPaths refuses a status path above resources of a route: reads of these would be answered with states of
// writes.
func reportStatusPaths(list []*part, routes []*policy.Route, s *Snapshot) {
	for i, a := range routes {
		rules := s.Behind[a.Name]
		if rules == nil || rules.StatusPath == "" || list[i].spoiled("match") {
			continue
		}
		for j, b := range routes {
			k := slices.IndexFunc(b.Patterns, func(p policy.Pattern) bool { return strings.HasPrefix(p.Path(), rules.StatusPath) })
			if k >= 0 && !list[j].spoiled("match") {
				list[i].Part("write_behind").problem("status_path", "%s is also where %s of route %s is, which nobody could read then; write a path where the upstream has nothing, such as /_writes/",
					quote(rules.StatusPath), quote(b.Patterns[k].String()), b.Name)
			}
		}
	}
}

// reportKeys refuses two routes that write the same path under contradicting keys, at least one of them with policy
// write-behind. The writes of one route would overtake those of the other. A route of another policy without a key
// contradicts nothing: its writes wait behind the key that the write-behind route's pattern gives their path.
func reportKeys(list []*part, routes []*policy.Route) {
	for i, a := range routes {
		if a.Policy != policy.WriteBehind || list[i].spoiled("match") {
			continue
		}
		for j, b := range routes {
			if i == j || j < i && b.Policy == policy.WriteBehind || list[j].spoiled("match") {
				continue
			}
			if p, q, apart := withoutKey(a, b); apart {
				list[j].problem("write_key", "%s writes paths that %s of route %s (line %d), with policy: %s, writes too, and they have no key in common: one would overtake the other; write the same write_key in both, with its wildcards in the same places%s",
					quote(q.String()), quote(p.String()), a.Name, list[i].report.at(list[i].path).line, a.Policy, orNoKey(a, b))
			}
		}
	}
}

// orNoKey is the second remedy, where there is one.
func orNoKey(a, b *policy.Route) string {
	if b.Policy != policy.WriteBehind && !a.WriteKey.Zero() {
		return ", or none here"
	}
	return ""
}

// withoutKey finds a pattern of each route that write the same path under different keys.
func withoutKey(a, b *policy.Route) (p, q policy.Pattern, apart bool) {
	for _, p := range a.Patterns {
		for _, q := range b.Patterns {
			if writes(p) && writes(q) && p.SharesPath(q) && !sameKey(a, b, p, q) {
				return p, q, true
			}
		}
	}
	return p, q, false
}

func writes(p policy.Pattern) bool { return p.Method() == "" || !httpcache.Safe(p.Method()) }

func sameKey(a, b *policy.Route, p, q policy.Pattern) bool {
	if b.Policy != policy.WriteBehind && b.WriteKey.Zero() && !a.WriteKey.Zero() {
		return true
	}
	if a.WriteKey.String() != b.WriteKey.String() {
		return false
	}
	// The default key is host and path, or the path alone where the upstream is sent a Host of its own.
	if a.WriteKey.Zero() {
		return (a.Host.Literal == "") == (b.Host.Literal == "")
	}
	return !slices.ContainsFunc(a.WriteKey.Placeholders(), func(of policy.Placeholder) bool {
		return of.Kind == policy.FromWildcard && p.Position(of.Name) != q.Position(of.Name)
	})
}
