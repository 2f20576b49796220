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

// Scope is a set of things that a token allows. The zero value allows nothing.
type Scope uint8

const (
	ScopePurge    Scope = 1 << iota // make copies unusable
	ScopeMode                       // switch routes on, to observe, off; reload
	ScopeRead                       // explain, configuration, profiles
	ScopePurgeAll                   // make everything of a host or of all hosts unusable; goes with ScopePurge

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

// Token allows something to whoever presents its secret (RFC 6750), calls from where it says, or does both where it has both. Several
// may be in force at once, so that secrets can be rotated.
//
// One without a secret is for callers that can send none: it allows purges alone, never of everything, only under a Host of its
// sites, and only to what no web page can have sent. One that is bound to sites or tags allows purges alone, too: what can be read and
// switched is not a site's.
type Token struct {
	Name   string // written to the audit log
	Secret string // an empty one is never accepted
	Allow  Scope
	From   []netip.Prefix // where the TCP peer has to be; none: anywhere
	Sites  []string       // hosts of which it may purge URLs and prefixes; with AnyTags and Tags none: of all, if it has a secret
	// Tags are how the tags begin that a token with bounds may purge; AnyTags: all. A tag has no host: the copies of all sites that
	// carry it go.
	Tags    []string
	AnyTags bool
}

// credential is a token of which only the hash of the secret is kept. Hashes have one length, so comparing them tells
// nothing about a secret's length either.
type credential struct {
	caller
	hash [sha256.Size]byte // of a secret; nothing has the hash of none
	from []netip.Prefix
}

// isFrom reports whether a peer may present the token.
func (c *credential) isFrom(peer netip.Addr) bool {
	return len(c.from) == 0 || slices.ContainsFunc(c.from, func(network netip.Prefix) bool { return network.Contains(peer) })
}

// tokenSet is the tokens in force at one time.
type tokenSet struct {
	configured  bool         // there are tokens, usable or not: then loopback alone admits nobody
	credentials []credential // with a secret
	places      []credential // without one: where the peer is stands for it
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

// Reasons why a caller is turned away: the label reason of the metric.
const (
	refusedMissing   = "missing"      // no secret, and none of the places from where calls need none
	refusedMalformed = "malformed"    // more than one, or no secret in it
	refusedUnknown   = "unknown"      // a secret that is not configured, or not for where the call comes from
	refusedScope     = "scope"        // a token that does not allow this call
	refusedBounds    = "bounds"       // a token that is not for the site or the tag
	refusedNetwork   = "not-loopback" // no tokens are configured, and the listener can be reached from elsewhere
	refusedWebPage   = "web-page"     // made by a page in the operator's browser
	refusedHost      = "host"         // under a name that is not this machine's or none of the sites, as after DNS rebinding
)

// Refusals lists every reason that Options.Refused can be told.
func Refusals() []string {
	return []string{refusedMissing, refusedMalformed, refusedUnknown, refusedScope, refusedBounds, refusedNetwork, refusedWebPage, refusedHost}
}

// admit says who makes a call, or why they may not.
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

// authenticate finds the token of a request. It compares with every secret, so that the time it takes does not tell which one was
// nearly right. A call with a secret that is wrong is not looked at as one without.
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

// presented is the secret that a request carries, as the password of a user of any name, too (RFC 7617 §2); empty: none. ambient says
// that a browser may have added it by itself, whoever made the page.
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

// byPlace admits a call without a secret by where its TCP peer is. The peer may be a browser in which a page of anybody runs: what one
// could have sent is refused as on a loopback address. The name that the call is made under has to be one of the sites, so that none
// of another's that resolves to this address is. Where a proxy has brought the call, the peer is the proxy, whoever asks.
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

// broughtByProxy reports whether a request tells of another client than the peer.
func broughtByProxy(header http.Header) bool {
	for name := range header {
		if name = foldName(name); broughtFields[name] || strings.HasPrefix(name, "x-forwarded-") || strings.HasPrefix(name, "cf-") || strings.HasPrefix(name, "x-envoy-") {
			return true
		}
	}
	return false
}

// broughtFields are what proxies and content networks say of the client or of the way, in lower case.
var broughtFields = wordSet(`
	forwarded via cdn-loop x-real-ip x-client-ip x-cluster-client-ip x-original-forwarded-for x-originating-ip x-remote-ip x-remote-addr
	x-proxyuser-ip true-client-ip client-ip fastly-client-ip fastly-ff wl-proxy-client-ip x-varnish akamai-origin-hop
`)

// peerAddr is where the other end of the connection is; the zero value, which is in no network, where that is no address.
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
