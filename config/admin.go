package config

import (
	"net"
	"net/netip"
	"slices"
)

var permissions = []choice[Permission]{
	{"purge", AllowPurge}, {"purge-all", AllowPurgeAll}, {"mode", AllowMode}, {"read", AllowRead}, {"all", allowAll},
}

func compileAdmin(doc *part, beside *files) admin {
	a := admin{Listen: doc.text("listen"), TLS: compileListenerTLS(doc.Part("tls"), beside)}
	for _, token := range doc.sections("tokens") {
		a.Tokens = append(a.Tokens, compileToken(token, a.Tokens))
	}
	host, _, _ := net.SplitHostPort(a.Listen)
	if len(a.Tokens) == 0 && !loopback(host) && !doc.spoiled("listen") && !doc.spoiled("tokens") {
		doc.problem("listen", "%s can be reached from other machines, which needs admin.tokens; write them, or listen on 127.0.0.1", quote(a.Listen))
	}
	return a
}

func loopback(host string) bool {
	address, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && address.Unmap().IsLoopback()
}

// shortToken reports whether a secret is short enough to be guessed. An empty secret is not short but missing.
func shortToken(text string) bool { return text != "" && len(text) < 16 }

func compileToken(doc *part, others []Token) Token {
	t := Token{Name: doc.text("name"), Secret: secret(doc.text("token"))}
	for _, other := range others {
		if other.Name == t.Name && t.Name != "" {
			doc.problem("name", "%s is another token's name; give each its own", quote(t.Name))
		}
		if other.Secret == t.Secret && t.Secret != "" {
			doc.problem("token", "is the same as token %s has; give each its own", quote(other.Name))
		}
	}
	checkKeys(doc)
	for _, word := range doc.entries("allow") {
		one, _ := pick(word, permissions)
		t.Allow |= one
	}
	var shown []string
	for _, p := range permissions {
		if t.Allow.Has(p.value) && (p.value == allowAll || t.Allow != allowAll) {
			shown = append(shown, p.name)
		}
	}
	doc.setInForce("allow", shown)
	compileBounds(doc, &t)
	return t
}

// compileBounds compiles the limits of a token besides its secret: the networks of its callers, and the sites and tags
// whose copies the token may purge.
func compileBounds(doc *part, t *Token) {
	t.From = compileFrom(doc, t)
	for _, site := range doc.entries("sites") {
		t.Sites = append(t.Sites, site)
	}
	tags := read[listOrAll](doc, "tags")
	t.AnyTags = tags.all
	for _, prefix := range doc.entries("tags") {
		t.Tags = append(t.Tags, prefix)
	}
	_, written := doc.values["token"]
	switch secretless := t.Secret == ""; {
	case doc.spoiled("token") || doc.report.spoiledBelow(doc.at("from")):
	case secretless && (written || len(t.From) == 0): // an empty variable must not open the API
		doc.problem("token", `is missing; write token: "${file:/run/secrets/token}", or for a plugin that can send none, without the key: from: [10.0.3.7] and sites: [shop.example]`)
	case doc.spoiled("sites") || doc.spoiled("tags") || doc.spoiled("allow"):
	case secretless && len(t.Sites) == 0:
		doc.problem("sites", "is missing, and there is no token: write the hosts that may be purged from there, sites: [shop.example]")
	case secretless && t.Allow != AllowPurge:
		doc.problem("allow", "is more than purge, and there is no token: write allow: [purge], or a token")
	case secretless:
		doc.warn("from", "lets whoever connects from there purge %s without a secret; be sure that nothing translates addresses on the way, as the networks of clusters do, which make everybody one address", oneOf(t.Sites))
	case (len(t.Sites) > 0 || len(t.Tags) > 0 || t.AnyTags) && t.Allow&^(AllowPurge|AllowPurgeAll) != 0:
		doc.problem("allow", "is more than purges, and sites and tags bind no more than these; write allow: [purge], and for the rest another token")
	}
}

// compileFrom reads the networks that a token's callers may connect from.
func compileFrom(doc *part, t *Token) (networks []netip.Prefix) {
	var shown []string
	for at, text := range doc.entries("from") {
		list, _ := parseNetworks(text)
		if slices.ContainsFunc(list, func(n netip.Prefix) bool { return n.Bits() == 0 }) {
			if t.Secret == "" {
				doc.spoil(at, "is everybody, and there is no token: write the addresses of the callers")
				continue
			}
			doc.warn(at, "is everybody, and so binds nothing; write the addresses of the callers, or remove it")
		}
		for _, network := range list {
			networks, shown = append(networks, network), append(shown, network.String())
		}
	}
	doc.setInForce("from", shown)
	return networks
}
