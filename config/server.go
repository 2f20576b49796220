package config

import (
	"net"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
)

// minToken is the least length of an admin token, in bytes.
const minToken = 16

// nameForm is what routes, upstreams and tokens may be called: names become metric labels and parts of URLs.
var nameForm = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)

// server compiles everything outside upstreams and routes.
func (l *loader) server(doc *document, s *Snapshot) {
	l.address("listen", doc.Listen)
	s.Listen, s.DrainDelay, s.CacheStatusKey = doc.Listen, doc.DrainDelay, doc.CacheStatusKey
	s.ReusePort, s.ShutdownTimeout = doc.ReusePort, doc.ShutdownTimeout
	s.Limits, s.MaxBody = l.limits(doc.Limits), int64(doc.Limits.MaxBody)
	s.TLS, s.H2C = l.tls(doc), doc.H2C
	s.TrustedProxies = l.trustedProxies(doc.TrustedProxies)
	s.Admin = l.admin(doc)
	s.Log = Log{doc.Log.Format, doc.Log.Level, float64(doc.Log.Hits), float64(doc.Log.Others)}
	s.Tracing = l.tracing(doc.Tracing)
	s.Memory = l.memory(doc.Memory)
	s.Valkey = l.valkey(&doc.Valkey)
	if doc.CacheStatusKey {
		l.warn("cache_status_key", "shows storage keys to every client in Cache-Status; remove it unless you are debugging")
	}
	if doc.ReusePort {
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

func (l *loader) trustedProxies(list texts) []netip.Prefix {
	var prefixes []netip.Prefix
	for i, text := range list {
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
	return prefixes
}

func parsePrefix(text string) (netip.Prefix, error) {
	if address, err := netip.ParseAddr(text); err == nil {
		return address.Unmap().WithZone("").Prefix(address.Unmap().BitLen())
	}
	prefix, err := netip.ParsePrefix(text)
	return prefix.Masked(), err
}

func (l *loader) admin(doc *document) Admin {
	host := l.address("admin.listen", doc.Admin.Listen)
	a := Admin{Listen: doc.Admin.Listen, TLS: l.listenerTLS("admin.tls", doc.Admin.TLS)}
	for i, token := range doc.Admin.Tokens {
		a.Tokens = append(a.Tokens, l.token(index("admin.tokens", i), token, a.Tokens))
	}
	if len(a.Tokens) == 0 && !loopback(host) && !l.spoiled("admin.listen") && !l.spoiled("admin.tokens") {
		l.problem("admin.listen", "%s can be reached from other machines, which needs admin.tokens; write them, or listen on 127.0.0.1", quote(a.Listen))
	}
	if a.Listen == doc.Listen && !l.spoiled("listen") && !portZero(a.Listen) {
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

func (l *loader) token(path string, doc tokenDoc, others []Token) Token {
	t := Token{Name: doc.Name, Secret: Secret(doc.Token)}
	l.name(join(path, "name"), doc.Name, "ci")
	at := join(path, "token")
	switch {
	case l.spoiled(at):
	case doc.Token == "":
		l.problem(at, "is missing; write token: \"${file:/run/secrets/token}\"")
	case len(doc.Token) < minToken:
		l.problem(at, "is shorter than %d characters; make one with: openssl rand -hex 32", minToken)
	}
	for _, other := range others {
		if other.Name == t.Name && t.Name != "" {
			l.problem(join(path, "name"), "%s is another token's name; give each its own", quote(t.Name))
		}
		if other.Secret == t.Secret && t.Secret != "" {
			l.problem(at, "is the same as token %s has; give each its own", quote(other.Name))
		}
	}
	at = join(path, "allow")
	if len(doc.Allow) == 0 && !l.spoiled(at) {
		l.problem(at, "is missing; write allow: [purge], or any of purge, mode, read, all")
	}
	for i, word := range doc.Allow {
		if at := index(at, i); !l.spoiled(at) {
			var one Permission
			if err := pick(&one, word, permissions); err != nil {
				l.problem(at, "%s %w", quote(word), err)
			}
			t.Allow |= one
		}
	}
	return t
}

// name checks a name that must be there.
func (l *loader) name(path, text, example string) {
	switch {
	case l.spoiled(path):
	case text == "":
		l.problem(path, "is missing; write name: %s", example)
	case !nameForm.MatchString(text):
		l.spoil(path, "%s is not a name; use up to 64 letters, digits, dots, dashes and underscores, such as %s", quote(text), example)
	}
}

// duplicates reports names that are taken, with the line of the first.
func (l *loader) duplicates(path, what string, names []string) {
	for i, name := range names {
		first := slices.Index(names, name)
		if first == i || name == "" {
			continue
		}
		l.problem(join(index(path, i), "name"), "%s is the name of the %s on line %d; rename one of them", quote(name), what,
			l.at(join(index(path, first), "name")).line)
	}
}
