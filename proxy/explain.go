package proxy

import (
	"cmp"
	"encoding/hex"
	"fmt"
	"maps"
	"math"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"cacheproxy/observe"
	"cacheproxy/policy"
	"cacheproxy/policy/httpcache"
	"cacheproxy/proxy/server"
	"cacheproxy/store"
)

// Explanation says how a request would be handled, as far as the proxy can tell without asking the origin. The JSON
// form is a contract with users.
type Explanation struct {
	Request   string   `json:"request"`
	Assumed   []string `json:"assumed,omitempty"` // assumed request fields; set by the caller of Explain
	Route     string   `json:"route"`
	Pattern   string   `json:"pattern,omitempty"`
	Skipped   string   `json:"skipped,omitempty"` // the more specific route whose where or clients do not fit
	Policy    string   `json:"policy"`
	Mode      string   `json:"mode"`
	ModeShare string   `json:"mode_share,omitempty"` // of the requests, if not all; the decision is for one of these
	Upstream  string   `json:"upstream"`
	Decision  string   `json:"decision"` // hit, stale, miss, pass, write, queued, board, error
	Reason    string   `json:"reason,omitempty"`
	// CacheStatus is the text of Cache-Status, without the parts that depend on the answer of the upstream.
	CacheStatus string `json:"cache_status"`
	// Unlisted, UnlistedParameters and UnlistedCookies name the header fields, parameters and cookies because of which
	// the request goes past the cache.
	Unlisted           []string `json:"unlisted_headers,omitempty"`
	UnlistedParameters []string `json:"unlisted_parameters,omitempty"`
	UnlistedCookies    []string `json:"unlisted_cookies,omitempty"`
	// Bypasses has the names because of which most requests of the route went past the cache since the start of this
	// instance.
	Bypasses []string `json:"route_bypassed_for,omitempty"`
	// Prefers has the preferences of the client by which copies of the URL are kept apart. Compared says whether these
	// copies have differed.
	Prefers    []string `json:"prefers,omitempty"`
	Compared   []string `json:"variants_compared,omitempty"`
	Note       string   `json:"note,omitempty"`  // why a client's request may be handled otherwise than explained
	Lease      string   `json:"lease,omitempty"` // whether copies may be used; empty: there are no other instances
	Name       string   `json:"name,omitempty"`
	StorageKey string   `json:"storage_key,omitempty"` // in hexadecimal, since the key is binary
	Query      string   `json:"query_forwarded,omitempty"`
	NotStored  string   `json:"not_stored,omitempty"` // why the last answer was not stored
	Variants   []string `json:"variants_by,omitempty"`
	Forwards   []string `json:"fill_forwards,omitempty"` // names of the header fields that a fill would forward
	Members    []string `json:"members,omitempty"`
	Copy       *Copy    `json:"copy,omitempty"`
	Parts      []string `json:"parts,omitempty"` // stored parts of an incomplete response, in the form of Content-Range
}

// Copy is the state of a stored copy.
type Copy struct {
	Status      int      `json:"status"`
	State       string   `json:"state"`  // fresh, stale and so on, by the lifetime
	Ledger      string   `json:"ledger"` // valid, soft-purged, unconfirmed, fenced or purged
	Age         string   `json:"age"`
	TTL         string   `json:"ttl"`
	StaleWhile  string   `json:"stale_while_revalidate,omitempty"`
	StaleError  string   `json:"stale_if_error,omitempty"`
	Stored      string   `json:"stored"`
	Position    uint64   `json:"position"` // of the ledger, when the copy was fetched
	Bytes       int      `json:"bytes"`
	Held        string   `json:"held,omitempty"` // the coding and the length in this coding; empty: not compressed
	Hits        uint32   `json:"hits"`
	Vary        []string `json:"vary,omitempty"`
	ETag        string   `json:"etag,omitempty"`
	ContentType string   `json:"content_type,omitempty"`
}

// Explain explains the decision about a request with this method, URL (absolute, or a path) and header, as if the
// request came from a peer that is not trusted. The decision is made by the same code as in ServeHTTP. If some routes
// are for some clients only, the address of the client is the last one in X-Forwarded-For. The error says that the URL
// cannot be parsed.
func (p *Proxy) Explain(method, rawURL string, header http.Header) (*Explanation, error) {
	u, err := url.Parse(rawURL)
	if err != nil {
		return nil, fmt.Errorf("parse URL: %w", err)
	}
	host, scheme := u.Host, "http"
	if h := header.Get("Host"); h != "" {
		host = h
	}
	if u.Scheme == "https" {
		scheme = u.Scheme
	}
	rq := &request{
		r: &http.Request{
			Method: method, URL: u, Host: host, RequestURI: rawURL, Header: header.Clone(), Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		},
		cfg: p.config(), start: time.Now(),
	}
	defer rq.held.release()
	delete(rq.r.Header, "Host")
	if hops := httpcache.ForwardedFor(header); len(hops) > 0 {
		rq.r.RemoteAddr = netip.AddrPortFrom(hops[len(hops)-1], 0).String()
	}
	refused := rq.resolve(scheme)
	rq.lease = rq.route.leaseState(p.lease, rq.start)
	mode, share := rq.route.mode(rq.start)
	rq.mode = mode
	var d decision
	if refused != nil {
		d = refusing(*refused)
	} else {
		rq.plan()
		d = p.decide(rq, rq.start)
	}
	e := p.explanation(rq, &d)
	e.Mode = mode.String()
	if share < 1 {
		e.ModeShare = fmt.Sprintf("%.4g%%", share*100)
	}
	return e, nil
}

// explanation puts a decision into an Explanation.
func (p *Proxy) explanation(rq *request, d *decision) *Explanation {
	status := d.status(rq.start)
	e := &Explanation{
		Request: rq.r.Method + " " + rq.target.Scheme + "://" + rq.target.Host + rq.target.String(),
		Route:   rq.route.Name, Policy: rq.route.Policy.String(), Upstream: rq.route.Upstream,
		Decision: d.outcome.String(), Reason: d.reason.String(), CacheStatus: string(status.Append(nil)), Note: p.note(rq, d), Lease: p.leaseText(rq),
	}
	if d.step == compare {
		e.Decision, e.Reason = policy.Pass.String(), policy.Observe.String()
	}
	if rq.match.Route != nil {
		e.Pattern = rq.match.Pattern().String()
	}
	if r := rq.match.Skipped; r != nil {
		e.Skipped = r.Name
	}
	e.Unlisted, e.UnlistedParameters, e.UnlistedCookies = rq.route.BypassedFor(d.reason, rq.asked(), rq.route.Selecting())
	for _, b := range rq.route.Metrics.Bypasses() {
		e.Bypasses = append(e.Bypasses, bypassText(b))
	}
	if len(rq.key) == 0 {
		return e
	}
	preferred := rq.route.Prefers.Split(string(rq.key[rq.url:]))
	for i, name := range rq.route.Prefers.Preferences {
		if preferred[i] != "" {
			e.Prefers = append(e.Prefers, name+": "+preferred[i])
		}
	}
	for _, pair := range rq.route.Metrics.Preferences() {
		e.Compared = append(e.Compared, comparedText(pair))
	}
	e.StorageKey, e.Query, e.Name = hex.EncodeToString(rq.key), rq.query, rq.name()
	for _, m := range rq.members(nil) {
		if m != "" {
			e.Members = append(e.Members, m.String())
		}
	}
	found := candidate{Found: p.selected(rq, rq.start)} // shown also if the copy may not be used
	if found.Variants != nil {
		e.Variants = found.Variants.Names()
	}
	why, _ := p.fills.Shareless(rq.question(found), rq.start)
	e.Forwards, e.NotStored = slices.Sorted(maps.Keys(rq.asks(found).forward)), why.String()
	if parts := p.store.LookupParts(string(rq.key), rq.asks(found).forward); parts != nil {
		rq.held.keep(parts.Of)
		for _, s := range parts.Have() {
			e.Parts = append(e.Parts, httpcache.PartOf{Span: s, Size: parts.Size}.String())
		}
	}
	if c := cmp.Or(d.served(), found.Copy); c != nil {
		e.Copy = p.describe(c, rq.start)
	}
	return e
}

// note says why a client's request may be handled otherwise than explained; empty: no reason is known.
func (p *Proxy) note(rq *request, d *decision) string {
	switch {
	case d.note != "":
		return d.note
	case (d.step == fetchShared || d.step == fetchAlone) && httpcache.ForOrigin(rq.r.Header):
		return "If-Match and If-Unmodified-Since are for the upstream to judge: if its answer does not meet them, the request passes to it as it came, " +
			"with detail=" + policy.Precondition.String()
	case rq.match.Skipped != nil && len(rq.match.Skipped.Clients) > 0 && !server.PeerAddr(rq.r).IsValid():
		return "the route " + rq.match.Skipped.Name + " is for some clients only, and it is not known who asks: say so with X-Forwarded-For"
	case rq.match.Route == nil:
		return ""
	case d.step == serveBoard:
		board, _ := boardOf(rq)
		return "the records of board " + strconv.Quote(board) + " answer, and the upstream does not see it"
	case rq.route.Content.MayRead(rq.match.Pattern(), rq.r.Method):
		return "with content that the route takes for a read it is one, which the content decides"
	case d.outcome == policy.Write && rq.route.Invalidates.ReadsResponse():
		return "what the write makes unusable is named in the answer too, which nobody knows beforehand; where that cannot be read, invalidates.otherwise counts"
	case rq.target.Host == "" && rq.route.Host.Literal == "" && len(rq.key) > 0:
		return "no host was given, and the host is part of the storage key: give the whole URL, as clients ask for it"
	case rq.route.FeedDownTTL > 0 && rq.route.Blind != nil && rq.route.Blind(rq.start):
		return "changes in PostgreSQL have gone unseen for longer than postgres.max_feed_lag: copies of this route are fresh for " + rq.route.FeedDownTTL.String() + " since they were fetched or confirmed, and then stand in where the upstream cannot confirm them"
	case d.outcome == policy.Miss && p.store.Deep():
		return "memory has no copy that answers; the shared store is asked before the upstream, and may have one"
	}
	return ""
}

// leaseText describes the lease of this instance; empty: this instance is the only one, and has no lease.
func (p *Proxy) leaseText(rq *request) string {
	if p.lease == nil {
		return ""
	}
	lapsed := p.lease.Lapsed(rq.start)
	state := "lapsed " + lapsed.Round(time.Millisecond).String() + " ago"
	switch lapsed {
	case 0:
		return "valid"
	case math.MaxInt64:
		state = "not held since the start"
	}
	if rq.lease == staleAllowed {
		return state + "; the route serves what memory has for " + (rq.route.LeaseLossMax - lapsed).Round(time.Millisecond).String() + " yet"
	}
	return state + "; copies are not used"
}

func (p *Proxy) describe(c *store.Copy, now time.Time) *Copy {
	d := &Copy{
		Status: c.Status(), State: c.Life().State(now).String(), Ledger: p.ledger.Check(&c.Stamp, c.Members()).String(),
		Age: c.Life().Age(now).Round(time.Second).String(), TTL: c.Life().Left(now).Round(time.Second).String(),
		Stored: c.Life().Received.UTC().Format(time.RFC3339), Position: c.Stamp.Token().Position(), Bytes: c.Length(),
		Hits: c.Use.Hits.Load(), Vary: c.Vary(), ETag: strings.Clone(c.Get("Etag")), ContentType: strings.Clone(c.Get("Content-Type")),
	}
	if coding := c.Coding(); coding != httpcache.Identity {
		d.Held = fmt.Sprintf("%s, %d bytes", coding, len(c.Body()))
	}
	if w := c.Life().StaleWhileRevalidate; w > 0 {
		d.StaleWhile = w.String()
	}
	if w := c.Life().StaleIfError; w > 0 {
		d.StaleError = w.String()
	}
	return d
}

// comparedText gives the result of comparing copies that differ in a field, and says whether the field is a candidate
// for ignore_headers.
func comparedText(p observe.Preference) string {
	text := fmt.Sprintf("%s: %d pairs, %d differed", p.Name, p.Same+p.Differed, p.Differed)
	if p.Differed == 0 {
		text += ": a candidate for ignore_headers"
	}
	return text
}
