package config

import (
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"regexp"
	"strconv"
)

// minToken is the least length of an admin token, in bytes.
const minToken = 16

// nameForm is what routes, upstreams and tokens may be called: names become metric labels and parts of URLs.
var nameForm = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)

// server compiles everything outside upstreams and routes.
func (l *loader) server(doc *Part, s *Snapshot) {
	log := doc.section("log")
	l.address("listen", doc.text("listen"))
	s.Listen, s.DrainDelay, s.CacheStatusKey = doc.text("listen"), doc.duration("drain_delay"), doc.flag("cache_status_key")
	s.ShutdownTimeout = doc.duration("shutdown_timeout")
	s.Limits, s.MaxBody = l.limits(doc.section("limits")), doc.section("limits").bytes("max_body")
	s.TLS, s.H2C = l.tls(doc), doc.flag("h2c")
	s.TrustedProxies = l.trustedProxies(doc)
	s.Admin = l.admin(doc.section("admin"), s.Listen)
	s.Log = Log{read[LogFormat](log, "format"), read[slog.Level](log, "level"), log.share("hits"), log.share("others")}
	s.Tracing = l.tracing(doc.section("tracing"))
	s.Memory = l.memory(doc.section("memory"))
	s.Valkey = l.valkey(doc.section("valkey"))
	if s.CacheStatusKey {
		l.warn("cache_status_key", "shows storage keys to every client in Cache-Status; remove it unless you are debugging")
	}
	if doc.flag("reuse_port") {
		l.warn("reuse_port", "has no effect, and the next release refuses it; remove it. To restart without losing a request let the service manager keep the socket (LISTEN_FDS), or stop one of several instances at a time")
	}
}

// address checks host:port and returns its host.
func (l *loader) address(path, text string) (host string) {
	if l.spoiled(path) {
		return ""
	}
	host, port, err := net.SplitHostPort(text)
	if err != nil {
		l.spoil(path, "%s is not an address; write 127.0.0.1:8080, or :8080 for every interface", quote(text))
		return ""
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || port != strconv.FormatUint(n, 10) {
		l.spoil(path, "%s has no port between 0 and 65535; write 127.0.0.1:8080", quote(text))
	}
	return host
}

func (l *loader) trustedProxies(doc *Part) []netip.Prefix {
	var prefixes []netip.Prefix
	for i, text := range doc.list("trusted_proxies") {
		at := index("trusted_proxies", i)
		if l.spoiled(at) {
			continue
		}
		prefix, err := parsePrefix(text)
		if err != nil {
			l.problem(at, "%s is not a network; write 10.0.0.0/8 or a single address", quote(text))
			continue
		}
		if prefix.Bits() == 0 {
			l.warn(at, "trusts everyone: any client can claim another address, scheme or host; name the networks of your own proxies")
		}
		prefixes = append(prefixes, prefix)
	}
	doc.setInForce("trusted_proxies", texted(prefixes))
	return prefixes
}

func texted[T fmt.Stringer](list []T) (texts []string) {
	for _, one := range list {
		texts = append(texts, one.String())
	}
	return texts
}

func parsePrefix(text string) (netip.Prefix, error) {
	if address, err := netip.ParseAddr(text); err == nil {
		return address.Unmap().WithZone("").Prefix(address.Unmap().BitLen())
	}
	prefix, err := netip.ParsePrefix(text)
	return prefix.Masked(), err
}

func (l *loader) admin(doc *Part, clients string) Admin {
	a := Admin{Listen: doc.text("listen"), TLS: l.listenerTLS(doc.section("tls"))}
	host := l.address("admin.listen", a.Listen)
	for _, token := range doc.sections("tokens") {
		a.Tokens = append(a.Tokens, l.token(token, a.Tokens))
	}
	if len(a.Tokens) == 0 && !loopback(host) && !l.spoiled("admin.listen") && !l.spoiled("admin.tokens") {
		l.problem("admin.listen", "%s can be reached from other machines, which needs admin.tokens; write them, or listen on 127.0.0.1", quote(a.Listen))
	}
	if a.Listen == clients && !l.spoiled("listen") && !portZero(a.Listen) {
		l.problem("admin.listen", "is the address of listen; give the admin listener one of its own, such as 127.0.0.1:8081")
	}
	return a
}

func loopback(host string) bool {
	address, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && address.Unmap().IsLoopback()
}

// portZero reports whether the system picks the port.
func portZero(address string) bool {
	_, port, err := net.SplitHostPort(address)
	return err == nil && port == "0"
}

var permissions = []choice[Permission]{
	{"purge", AllowPurge}, {"mode", AllowMode}, {"read", AllowRead}, {"all", AllowAll},
}

func (l *loader) token(doc *Part, others []Token) Token {
	t := Token{Name: l.name(doc, "ci"), Secret: Secret(doc.text("token"))}
	at := doc.at("token")
	switch {
	case l.spoiled(at):
	case t.Secret == "":
		l.problem(at, "is missing; write token: \"${file:/run/secrets/token}\"")
	case len(t.Secret) < minToken:
		l.problem(at, "is shorter than %d characters; make one with: openssl rand -hex 32", minToken)
	}
	for _, other := range others {
		if other.Name == t.Name && t.Name != "" {
			l.problem(doc.at("name"), "%s is another token's name; give each its own", quote(t.Name))
		}
		if other.Secret == t.Secret && t.Secret != "" {
			l.problem(at, "is the same as token %s has; give each its own", quote(other.Name))
		}
	}
	t.Allow = l.permissions(doc)
	return t
}

func (l *loader) permissions(doc *Part) (allowed Permission) {
	words, at := doc.list("allow"), doc.at("allow")
	if len(words) == 0 && !l.spoiled(at) {
		l.problem(at, "is missing; write allow: [purge], or any of purge, mode, read, all")
	}
	for i, word := range words {
		if at := index(at, i); !l.spoiled(at) {
			one, err := pick(word, permissions)
			if err != nil {
				l.problem(at, "%s %w", quote(word), err)
			}
			allowed |= one
		}
	}
	var shown []string
	for _, p := range permissions {
		if allowed.Has(p.value) && (p.value == AllowAll || allowed != AllowAll) {
			shown = append(shown, p.name)
		}
	}
	doc.setInForce("allow", shown)
	return allowed
}

// name is the name of an entry of a list, which must be there.
func (l *loader) name(p *Part, example string) string {
	text, at := p.text("name"), p.at("name")
	switch {
	case l.spoiled(at):
	case text == "":
		l.problem(at, "is missing; write name: %s", example)
	case !nameForm.MatchString(text):
		l.spoil(at, "%s is not a name; use up to 64 letters, digits, dots, dashes and underscores, such as %s", quote(text), example)
	}
	return text
}

// duplicates reports names that are taken, with the line of the first.
func (l *loader) duplicates(list []*Part, what string) {
	first := map[string]*Part{}
	for _, p := range list {
		name := p.text("name")
		if before := first[name]; before == nil {
			first[name] = p
		} else if name != "" {
			l.problem(p.at("name"), "%s is the name of the %s on line %d; rename one of them", quote(name), what, l.at(before.at("name")).line)
		}
	}
}
