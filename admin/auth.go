package admin

import (
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// Scope is a set of things that a token allows. The zero value allows nothing.
type Scope uint8

const (
	ScopePurge Scope                                = 1 << iota // make copies unusable
	ScopeMode                                                   // switch routes on, to observe, off; reload
	ScopeRead                                                   // explain, configuration, profiles
	ScopeAll   = ScopePurge | ScopeMode | ScopeRead             // everything
)

// String lists the words of a scope.
func (s Scope) String() string {
	if s == ScopeAll {
		return "all"
	}
	var words []string
	for i, word := range [...]string{"purge", "mode", "read"} {
		if s&(1<<i) != 0 {
			words = append(words, word)
		}
	}
	return strings.Join(words, ", ")
}

// Token is a secret that allows something to whoever presents it (RFC 6750). Several may be in force at once, so that
// secrets can be rotated.
type Token struct {
	Name   string // written to the audit log
	Secret string // an empty one is never accepted
	Allow  Scope
}

// credential is a token of which only the hash of the secret is kept. Hashes have one length, so comparing them tells
// nothing about a secret's length either.
type credential struct {
	hash  [sha256.Size]byte
	name  string
	allow Scope
}

// tokenSet is the tokens in force at one time.
type tokenSet struct {
	configured  bool // there are tokens, usable or not: then loopback alone admits nobody
	credentials []credential
}

func newTokenSet(tokens []Token) *tokenSet {
	set := &tokenSet{configured: len(tokens) > 0}
	for _, t := range tokens {
		if t.Secret != "" {
			set.credentials = append(set.credentials, credential{sha256.Sum256([]byte(t.Secret)), t.Name, t.Allow})
		}
	}
	return set
}

// Reasons why a caller is turned away: the label reason of the metric.
const (
	refusedMissing   = "missing"      // no Authorization field
	refusedMalformed = "malformed"    // more than one, or none that is a bearer token
	refusedUnknown   = "unknown"      // a token that is not configured
	refusedScope     = "scope"        // a token that does not allow this call
	refusedNetwork   = "not-loopback" // no tokens are configured, and the listener can be reached from elsewhere
	refusedWebPage   = "web-page"     // made by a page in the operator's browser
	refusedHost      = "host"         // under a name that is not this machine's, as after DNS rebinding
)

// Refusals lists every reason that Options.Refused can be told.
func Refusals() []string {
	return []string{refusedMissing, refusedMalformed, refusedUnknown, refusedScope, refusedNetwork, refusedWebPage, refusedHost}
}

// admit says who makes a call, or why they may not.
func (h *handler) admit(r *http.Request, c call) (who string, err error) {
	tokens := h.tokens.Load()
	if !tokens.configured {
		return peer(r), admitLocal(r, c)
	}
	found, err := tokens.authenticate(r)
	if err != nil {
		return "", err
	}
	if c.scope != 0 && found.allow&c.scope == 0 {
		return found.name, refusalf(http.StatusForbidden, refusedScope, "token %q allows %q, this call needs \"%s\"", found.name, found.allow,
			strings.ReplaceAll(c.scope.String(), ", ", `" or "`))
	}
	return found.name, nil
}

// authenticate finds the token that a request carries. It compares with every token, so that the time it takes does not
// tell which one was nearly right.
func (s *tokenSet) authenticate(r *http.Request) (found credential, err error) {
	fields := r.Header.Values("Authorization")
	switch len(fields) {
	case 0:
		return found, unauthorized(refusedMissing, "", "this call needs an Authorization: Bearer token")
	case 1:
	default:
		return found, unauthorized(refusedMalformed, "", "this call needs one Authorization: Bearer token, not several")
	}
	scheme, secret, _ := strings.Cut(fields[0], " ")
	secret = strings.Trim(secret, " ")
	if !strings.EqualFold(scheme, "Bearer") || secret == "" {
		return found, unauthorized(refusedMalformed, "", "this call needs an Authorization: Bearer token")
	}
	hash, match := sha256.Sum256([]byte(secret)), 0
	for _, c := range s.credentials {
		if subtle.ConstantTimeCompare(hash[:], c.hash[:]) == 1 {
			found, match = c, 1
		}
	}
	if match == 0 {
		return found, unauthorized(refusedUnknown, `, error="invalid_token"`, "the token is not known here")
	}
	return found, nil
}

func unauthorized(refusal, parameters, text string) error {
	p := refusalf(http.StatusUnauthorized, refusal, "%s", text)
	p.header.Set("WWW-Authenticate", `Bearer realm="cacheproxy admin"`+parameters)
	return p
}

// admitLocal admits a call without a token: one that came in on this machine and was not made by a web page. A page can
// reach loopback addresses from the operator's browser: directly, which Origin and Sec-Fetch-Site betray, or under a
// name of its own that resolves to 127.0.0.1, which Host betrays.
func admitLocal(r *http.Request, c call) error {
	local, _ := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	if _, ok := local.(*net.UnixAddr); !ok && !addrOf(local).Addr().IsLoopback() {
		return refusalf(http.StatusForbidden, refusedNetwork, "no tokens are configured and the listener's address is not loopback: set admin.tokens")
	}
	if why := madeByPage(r); why != "" {
		return refusalf(http.StatusForbidden, refusedWebPage, "%s: configure admin.tokens to allow it", why)
	}
	if !c.anyHost && !isLocalHost(r.Host, local) {
		return refusalf(http.StatusForbidden, refusedHost, "Host %q is not the listener's address: use an IP address or localhost, or configure admin.tokens", shorten(r.Host))
	}
	return nil
}

// admitName admits a call without a token to a listener on this machine only under a name of it: a page of another name that resolves
// to 127.0.0.1 could read the answer, and what it has as Origin and Host is its own. A listener that can be reached from elsewhere
// is asked under whatever name it has there.
func admitName(r *http.Request) error {
	local, _ := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	if addrOf(local).Addr().IsLoopback() && !isLocalHost(r.Host, local) {
		return refusalf(http.StatusForbidden, refusedHost, "Host %q is not the listener's address: use an IP address or localhost", shorten(r.Host))
	}
	return nil
}

// madeByPage says what betrays a request that a web page may have made; empty: none did. Every browser sends Origin with
// what scripts post, and all but old ones Sec-Fetch-Site. What an old one's forms can post without either is urlencoded,
// which cannot be JSON, or has one of the two other types that forms have.
func madeByPage(r *http.Request) string {
	if len(r.Header.Values("Origin")) > 0 {
		return "requests with an Origin header come from web pages"
	}
	switch site := r.Header.Get("Sec-Fetch-Site"); {
	case site == "" || site == "none":
	case site == "same-origin" && slices.Contains(reads, r.Method): // a link on a page of this listener's, the index of profiles
	default:
		return "the request was made by a web page"
	}
	if slices.Contains(reads, r.Method) {
		return ""
	}
	switch kind, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";"); strings.ToLower(strings.TrimSpace(kind)) {
	case "text/plain", "multipart/form-data":
		return "a body of type " + kind + " may come from a form of a web page; send application/json"
	}
	return ""
}

// isLocalHost reports whether a Host field names this machine without the help of DNS.
func isLocalHost(host string, local net.Addr) bool {
	if _, ok := local.(*net.UnixAddr); ok {
		return true
	}
	name, _ := splitPort(host)
	if strings.EqualFold(name, "localhost") {
		return true
	}
	ip, err := netip.ParseAddr(strings.Trim(name, "[]"))
	return err == nil && ip.IsLoopback()
}

// isOwnHost reports whether a Host field has the port of the listener itself, and so cannot be meant as the host of a
// URL to purge.
func isOwnHost(r *http.Request) bool {
	local, _ := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	if _, ok := local.(*net.UnixAddr); ok {
		return strings.EqualFold(r.Host, "localhost")
	}
	_, port := splitPort(r.Host)
	own := addrOf(local)
	if port == "" {
		return own.Port() == 80 && isLocalHost(r.Host, local)
	}
	return own.IsValid() && port == fmt.Sprint(own.Port())
}

// splitPort cuts the port off a Host field, which may be without one.
func splitPort(host string) (name, port string) {
	if name, port, err := net.SplitHostPort(host); err == nil {
		return name, port
	}
	return host, ""
}

// addrOf is a TCP address as a value; the zero value, which is not loopback, where it is none.
func addrOf(a net.Addr) netip.AddrPort {
	tcp, ok := a.(*net.TCPAddr)
	if !ok {
		return netip.AddrPort{}
	}
	ap := tcp.AddrPort()
	return netip.AddrPortFrom(ap.Addr().Unmap().WithZone(""), ap.Port())
}

// peer is the address of the client, for the audit log.
func peer(r *http.Request) string {
	if r.RemoteAddr == "" || r.RemoteAddr == "@" {
		return "unix socket"
	}
	return r.RemoteAddr
}
