package admin

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// Scope is a set of permissions of a token. The zero value allows nothing.
type Scope uint8

const (
	ScopePurge    Scope = 1 << iota // make copies unusable
	ScopeMode                       // switch routes on, to observe, off; reload
	ScopeRead                       // explain, configuration, profiles
	ScopePurgeAll                   // make everything of a host or of all hosts unusable; used with ScopePurge

	ScopeAll = ScopePurge | ScopeMode | ScopeRead | ScopePurgeAll // everything
)

// String lists the words of a scope.
func (s Scope) String() string {
	if s == ScopeAll {
		return "all"
	}
	var words []string
	for i, word := range [...]string{"purge", "mode", "read", "purge-all"} {
		if s&(1<<i) != 0 {
			words = append(words, word)
		}
	}
	return strings.Join(words, ", ")
}

// Token gives its permissions to callers that present Secret (RFC 6750), to callers in the networks of From, or, with
// both set, to callers that meet both. Several tokens may be in force at once, so that secrets can be rotated.
//
// A token without a secret is for callers that can send none. Such a token allows only purges, never of everything,
// only under a Host of Sites, and only in requests that no web page can have sent. A token with bounds, Sites or tags,
// allows only purges too: reading and switching do not belong to a site.
type Token struct {
	Name   string // written to the audit log
	Secret string // an empty one is never accepted
	Allow  Scope
	From   []netip.Prefix // networks of the TCP peer; none: any
	// Sites are the hosts whose URLs and prefixes the token may purge. With AnyTags and Tags empty too, a token with a
	// secret may purge those of all hosts.
	Sites []string
	// Tags are the beginnings of the tags that a token with bounds may purge; AnyTags: every tag. A tag has no host:
	// purging a tag reaches the copies of all sites that carry the tag.
	Tags    []string
	AnyTags bool
}

// credential is a token with only the hash of its secret. All hashes have the same length, so that comparing them does
// not reveal the length of a secret.
type credential struct {
	caller
	hash [sha256.Size]byte // of the secret; a token without a secret has zeros here, which no secret hashes to
	from []netip.Prefix
}

// isFrom reports whether a peer may present the token.
func (c *credential) isFrom(peer netip.Addr) bool {
	return len(c.from) == 0 || slices.ContainsFunc(c.from, func(network netip.Prefix) bool { return network.Contains(peer) })
}

// tokenSet is the tokens in force at one time.
type tokenSet struct {
	configured  bool         // tokens are configured, usable or not: loopback alone then admits nobody
	credentials []credential // tokens with a secret
	places      []credential // tokens without a secret, which the peer's address stands in for
}

func newTokenSet(tokens []Token) *tokenSet {
	set := &tokenSet{configured: len(tokens) > 0}
	for _, t := range tokens {
		c := credential{caller: caller{t.Name, t.Allow, newBounds(t)}, from: t.From}
		if c.bounds != nil {
			c.allow &= ScopePurge | ScopePurgeAll
		}
		switch {
		case t.Secret != "":
			c.hash = sha256.Sum256([]byte(t.Secret))
			set.credentials = append(set.credentials, c)
		case len(t.From) > 0 && len(t.Sites) > 0:
			c.allow &= ScopePurge
			set.places = append(set.places, c)
		}
	}
	return set
}

// Reasons to refuse a caller, as values of the metric's label reason.
const (
	refusedMissing   = "missing"      // no secret, from an address that needs one
	refusedMalformed = "malformed"    // more than one secret, or none in the field
	refusedUnknown   = "unknown"      // a secret that is not configured, or not for the caller's address
	refusedScope     = "scope"        // a token that does not allow this call
	refusedBounds    = "bounds"       // a token without permission for the site or the tag
	refusedNetwork   = "not-loopback" // no tokens are configured, and other machines can reach the listener
	refusedWebPage   = "web-page"     // made by a page in the operator's browser
	refusedHost      = "host"         // under a name other than this machine's or the sites', as after DNS rebinding
)

// Refusals lists every reason that Options.Refused may get.
func Refusals() []string {
	return []string{refusedMissing, refusedMalformed, refusedUnknown, refusedScope, refusedBounds, refusedNetwork, refusedWebPage, refusedHost}
}

// admit returns the caller of a call, or the error that refuses the caller.
func (h *handler) admit(r *http.Request, c call) (caller, error) {
	tokens := h.tokens.Load()
	if !tokens.configured {
		return caller{name: peer(r), allow: ScopeAll}, admitLocal(r, c)
	}
	found, err := tokens.authenticate(r)
	if err != nil {
		return caller{}, err
	}
	if c.scope != 0 && found.allow&c.scope == 0 {
		return found, refusalf(http.StatusForbidden, refusedScope, "token %q allows %q, this call needs \"%s\"", found.name, found.allow,
			strings.ReplaceAll(c.scope.String(), ", ", `" or "`))
	}
	return found, nil
}

// authenticate finds the token of a request. Every secret is compared, so that the time taken does not reveal which
// secret was nearly right. A call with a wrong secret is not treated as a call without one.
func (s *tokenSet) authenticate(r *http.Request) (caller, error) {
	from := peerAddr(r)
	secret, ambient, err := presented(r.Header)
	switch {
	case err != nil:
		return caller{}, err
	case secret == "":
		return s.byPlace(r, from)
	}
	var found *credential
	hash := sha256.Sum256([]byte(secret))
	for i := range s.credentials {
		if subtle.ConstantTimeCompare(hash[:], s.credentials[i].hash[:]) == 1 {
			found = &s.credentials[i]
		}
	}
	if found == nil || !found.isFrom(from) {
		return caller{}, unauthorized(refusedUnknown, `, error="invalid_token"`, "the token is not known here, or is not for where the call comes from")
	}
	if ambient {
		if why := madeByPage(r); why != "" {
			return caller{}, refusalf(http.StatusForbidden, refusedWebPage, "%s, and browsers add a password by themselves: send Authorization: Bearer", why)
		}
	}
	return found.caller, nil
}

// presented is the secret of a request; empty: none. Basic authentication carries the secret as the password of any
// user (RFC 7617 §2). ambient: a browser may have added the secret by itself, for a page of anybody.
func presented(header http.Header) (secret string, ambient bool, err error) {
	fields, keys := header.Values("Authorization"), header.Values("Fastly-Key")
	switch len(fields) + len(keys) {
	case 0:
		return "", false, nil
	case 1:
	default:
		return "", false, unauthorized(refusedMalformed, "", "this call needs one token, in Authorization or Fastly-Key, not several")
	}
	if len(keys) > 0 {
		secret = strings.Trim(keys[0], " ")
	} else {
		var scheme string
		scheme, secret, _ = strings.Cut(fields[0], " ")
		secret = strings.Trim(secret, " ")
		switch {
		case strings.EqualFold(scheme, "Bearer"):
		case strings.EqualFold(scheme, "Basic"):
			pair, _ := base64.StdEncoding.DecodeString(secret)
			_, secret, _ = strings.Cut(string(pair), ":")
			ambient = true
		default:
			secret = ""
		}
	}
	if secret == "" {
		return "", false, unauthorized(refusedMalformed, "", "this call needs an Authorization: Bearer token, or one as the password of Authorization: Basic")
	}
	return secret, ambient, nil
}

// byPlace admits a call without a secret by the address of its TCP peer. The peer may be a browser that runs a page of
// anybody, so byPlace refuses every request that such a page could have sent, as on a loopback address. Host must be
// one of the sites: otherwise a page under a name of its own that resolves to this address would pass. A call that a
// proxy has forwarded is refused, since the peer is then the proxy, whoever the client is.
func (s *tokenSet) byPlace(r *http.Request, from netip.Addr) (caller, error) {
	err := unauthorized(refusedMissing, "", "this call needs an Authorization: Bearer token")
	for i := range s.places {
		c := &s.places[i]
		switch why := madeByPage(r); {
		case !c.isFrom(from):
			continue
		case why != "":
			return caller{}, refusalf(http.StatusForbidden, refusedWebPage, "%s: send a token", why)
		case broughtByProxy(r.Header):
			return caller{}, unauthorized(refusedMissing, "", "a proxy has brought the call, and where it is says nothing of who asks: send an Authorization: Bearer token")
		case c.bounds.covers(r.Host):
			return c.caller, nil
		}
		err = refusalf(http.StatusForbidden, refusedHost, "Host %q is none of the sites that may be purged from this address without a token: add it to sites of admin.tokens, or send a token",
			shorten(r.Host))
	}
	return caller{}, err
}

func unauthorized(refusal, parameters, text string) error {
	p := refusalf(http.StatusUnauthorized, refusal, "%s", text)
	p.header.Set("WWW-Authenticate", `Bearer realm="cacheproxy admin"`+parameters)
	return p
}

// admitLocal admits a call without a token that arrived on this machine and that no web page made. A page in the
// operator's browser can reach loopback addresses in two ways: directly, which Origin and Sec-Fetch-Site reveal, or
// under a name of its own that resolves to 127.0.0.1, which Host reveals.
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

// admitName admits an open call to a loopback listener only under a local name. A page under a name of its own that
// resolves to 127.0.0.1 could otherwise read the answer, and its Origin and Host would match. A listener that other
// machines can reach is called by whatever name it has there.
func admitName(r *http.Request) error {
	local, _ := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	if addrOf(local).Addr().IsLoopback() && !isLocalHost(r.Host, local) {
		return refusalf(http.StatusForbidden, refusedHost, "Host %q is not the listener's address: use an IP address or localhost", shorten(r.Host))
	}
	return nil
}

// madeByPage returns the sign that a web page may have made a request; empty: no page did. Every browser sends Origin
// with requests that scripts post, and all but old browsers send Sec-Fetch-Site. Without either, the forms of an old
// browser can post only urlencoded bodies, which cannot be JSON, or bodies of the two other types that forms have.
func madeByPage(r *http.Request) string {
	if len(r.Header.Values("Origin")) > 0 {
		return "requests with an Origin header come from web pages"
	}
	switch site := r.Header.Get("Sec-Fetch-Site"); {
	case site == "" || site == "none":
	// A link on a page of this listener is same-origin: the index of profiles.
	case site == "same-origin" && slices.Contains(reads, r.Method):
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

// isOwnHost reports whether a Host field has the listener's own port. Such a Host cannot be the host of a URL to purge.
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

// splitPort cuts the port off a Host field. The port may be missing.
func splitPort(host string) (name, port string) {
	if name, port, err := net.SplitHostPort(host); err == nil {
		return name, port
	}
	return host, ""
}

// addrOf is a TCP address as a value. Other addresses give the zero value, which is not loopback.
func addrOf(a net.Addr) netip.AddrPort {
	tcp, ok := a.(*net.TCPAddr)
	if !ok {
		return netip.AddrPort{}
	}
	ap := tcp.AddrPort()
	return netip.AddrPortFrom(ap.Addr().Unmap().WithZone(""), ap.Port())
}

// broughtByProxy reports whether a request has a field that names another client than the peer.
func broughtByProxy(header http.Header) bool {
	for name := range header {
		if name = foldName(name); broughtFields[name] || strings.HasPrefix(name, "x-forwarded-") || strings.HasPrefix(name, "cf-") || strings.HasPrefix(name, "x-envoy-") {
			return true
		}
	}
	return false
}

// broughtFields are the fields in which proxies and content networks describe the client or the way, in lower case.
var broughtFields = wordSet(`
	forwarded via cdn-loop x-real-ip x-client-ip x-cluster-client-ip x-original-forwarded-for x-originating-ip x-remote-ip x-remote-addr
	x-proxyuser-ip true-client-ip client-ip fastly-client-ip fastly-ff wl-proxy-client-ip x-varnish akamai-origin-hop
`)

// peerAddr is the address of the connection's peer. Peers without an address give the zero value, which is in no
// network.
func peerAddr(r *http.Request) netip.Addr {
	ap, _ := netip.ParseAddrPort(r.RemoteAddr)
	return ap.Addr().Unmap().WithZone("")
}

// peer is the address of the client, for the audit log.
func peer(r *http.Request) string {
	if r.RemoteAddr == "" || r.RemoteAddr == "@" {
		return "unix socket"
	}
	return r.RemoteAddr
}
