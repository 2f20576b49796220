package config

import (
	"net"
	"net/netip"
)

var permissions = []choice[Permission]{
	{"purge", AllowPurge}, {"mode", AllowMode}, {"read", AllowRead}, {"all", allowAll},
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

// shortToken reports whether a text could be guessed.
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
	return t
}
