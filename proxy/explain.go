package proxy

import (
	"encoding/hex"
	"fmt"
	"maps"
	"math"
	"net/http"
	"net/url"
	"slices"
	"time"

	"cacheproxy/policy"
	"cacheproxy/policy/httpcache"
	"cacheproxy/store"
)

// Explanation says what would become of a request, without asking the origin.
type Explanation struct {
	Request    string   `json:"request"`
	Route      string   `json:"route"`
	Pattern    string   `json:"pattern,omitempty"`
	Policy     string   `json:"policy"`
	Mode       string   `json:"mode"`
	ModeShare  string   `json:"mode_share,omitempty"` // of the requests that the mode is for, where not all; the decision is that for one of these
	Upstream   string   `json:"upstream"`
	Decision   string   `json:"decision"` // hit, stale, miss, pass, write, error
	Reason     string   `json:"reason,omitempty"`
	Unlisted   []string `json:"unlisted_headers,omitempty"` // the names of the headers for which the request passes
	Note       string   `json:"note,omitempty"`             // what makes the explanation differ from a client's request
	Lease      string   `json:"lease,omitempty"`            // whether copies may be used; only where there are other instances
	Name       string   `json:"name,omitempty"`
	StorageKey string   `json:"storage_key,omitempty"` // in hexadecimal: it is binary
	Query      string   `json:"query_forwarded,omitempty"`
	NotStored  string   `json:"not_stored,omitempty"` // why the last answer was not
	Variants   []string `json:"variants_by,omitempty"`
	Forwards   []string `json:"fill_forwards,omitempty"` // names of the header fields that a fill would forward
	Members    []string `json:"members,omitempty"`
	Copy       *Copy    `json:"copy,omitempty"`
	Parts      []string `json:"parts,omitempty"` // what is there of an answer that is not complete, as Content-Range says it
}

// Copy is the state of a stored copy.
type Copy struct {
	Status      int      `json:"status"`
	State       string   `json:"state"`  // fresh, stale and so on, by its lifetime
	Ledger      string   `json:"ledger"` // valid, soft-purged, fenced or purged
	Age         string   `json:"age"`
	TTL         string   `json:"ttl"`
	StaleWhile  string   `json:"stale_while_revalidate,omitempty"`
	StaleError  string   `json:"stale_if_error,omitempty"`
	Stored      string   `json:"stored"`
	Position    uint64   `json:"position"` // of the ledger, when it was fetched
	Bytes       int      `json:"bytes"`
	Held        string   `json:"held,omitempty"` // in which coding, and how many bytes that takes, where compressed
	Hits        uint32   `json:"hits"`
	Vary        []string `json:"vary,omitempty"`
	ETag        string   `json:"etag,omitempty"`
	ContentType string   `json:"content_type,omitempty"`
}

// Explain says what would become of a request with this method, URL (absolute, or a path) and header.
func (p *Proxy) Explain(method, rawURL string, header http.Header) (*Explanation, error) {
	u, err := url.Parse(rawURL)
	if err != nil {
		return nil, fmt.Errorf("parse URL: %w", err)
	}
	host := u.Host
	if h := header.Get("Host"); h != "" {
		host = h
	}
	r := &http.Request{Method: method, URL: u, Host: host, RequestURI: rawURL, Header: header, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1}
	ex := &exchange{p: p, r: r, cfg: p.config(), start: time.Now()}
	target, err := httpcache.ParseTarget("http", host, rawURL)
	if err != nil {
		return nil, fmt.Errorf("parse URL: %w", err)
	}
	if u.Scheme == "https" {
		target.Scheme = "https"
	}
	ex.target, ex.query, ex.route = target, target.Query, ex.cfg.unmatched
	ex.match, ex.status.Reason = ex.cfg.Table.Match(method, target)
	if ex.match.Route != nil {
		ex.route = ex.cfg.routes[ex.match.Route]
	}
	ex.trust = ex.route.trust(p.lease, ex.start)
	return ex.explain(), nil
}

func (ex *exchange) explain() *Explanation {
	mode, share := ex.route.mode(ex.start)
	e := &Explanation{
		Request: ex.r.Method + " " + ex.target.Scheme + "://" + ex.target.Host + ex.target.String(),
		Route:   ex.route.Name, Policy: ex.route.Policy.String(), Mode: mode.String(), Upstream: ex.route.Upstream,
		Decision: policy.PassAction.String(), Lease: ex.lease(),
	}
	if share < 1 {
		e.ModeShare = fmt.Sprintf("%.4g%%", share*100)
	}
	reason := ex.status.Reason
	action := policy.PassAction
	if reason == policy.NoReason {
		e.Pattern = ex.match.Pattern().String()
		action, reason = ex.way(mode)
	}
	e.Decision, e.Reason = action.String(), reason.String()
	if reason == policy.HeaderUnlisted {
		e.Unlisted = ex.route.UnlistedHeaders(ex.r.Header, ex.route.selecting())
	}
	if ex.route.Content.MayRead(ex.match.Pattern(), ex.r.Method) {
		e.Note = "with content that the route takes for a read it is one, which the content decides"
	}
	if action == policy.CredentialsAction {
		e.Note = "a copy that the origin marks public, or with s-maxage or must-revalidate, would answer it all the same"
	}
	if action != policy.ReadAction {
		return e
	}
	query, reason := ex.route.Query.Apply(ex.target.Query)
	if reason != policy.NoReason {
		e.Decision, e.Reason = policy.PassAction.String(), reason.String()
		return e
	}
	ex.query = query
	ex.key = ex.route.AppendKey(nil, ex.target, ex.route.keyedHost(ex.target.Host), query, ex.r.Header)
	ex.explainRead(e)
	return e
}

// explainRead looks at the copy as a read would, without touching it.
func (ex *exchange) explainRead(e *Explanation) {
	e.StorageKey, e.Query, e.Name = hex.EncodeToString(ex.key), ex.query, ex.name()
	for _, m := range ex.route.Members(&ex.match, ex.target, ex.query, ex.r.Header, nil) {
		if m != "" {
			e.Members = append(e.Members, m.String())
		}
	}
	found := ex.p.store.Lookup(string(ex.key), ex.r.Header, ex.start, ex.route.selectingUnlisted()...)
	c := candidate{Found: found, reason: policy.URIMiss}
	if found.Variants != nil {
		e.Variants, c.reason = found.Variants.Names(), policy.VaryMiss
	}
	if found.Unselected {
		c.reason = policy.VaryMiss
	}
	e.Forwards = slices.Sorted(maps.Keys(ex.request(c, 0, nil).forward))
	e.NotStored = found.Why.String()
	if ex.target.Host == "" && ex.route.Host.Literal == "" {
		e.Note = "no host was given, and the host is part of the storage key: give the whole URL, as clients ask for it"
	}
	e.Decision, e.Reason = "miss", c.reason.String()
	if p := ex.p.store.LookupParts(string(ex.key), ex.selection(ex.selecting(c))); p != nil {
		for _, s := range p.Have() {
			e.Parts = append(e.Parts, httpcache.PartOf{Span: s, Size: p.Size}.String())
		}
	}
	ex.decide(e, c)
}

// decide says what becomes of a read that found c.
func (ex *exchange) decide(e *Explanation, c candidate) {
	if c.Copy != nil {
		c.use, c.reason = ex.judge(c.Copy, ex.start)
	}
	if c.use < whileFresh {
		if other := ex.anyOrigin(); other != nil {
			c, e.Note = *other, "the copy was fetched without Origin, and its Access-Control-Allow-Origin says that it is for every one"
		} else if other := ex.searched(); other != nil {
			c, e.Note = *other, "the copy is that of another query, which the origin's "+httpcache.NoVarySearch+" says makes no difference"
		}
	}
	if c.Copy != nil {
		e.Copy = ex.describe(c.Copy)
		e.Reason = c.reason.String()
	}
	if ex.trust == uninformed {
		c.use, e.Reason = nothing, policy.LeaseLapsed.String()
	}
	switch {
	case c.use == serve:
		e.Decision = policy.Hit.String()
	case c.use == whileFresh:
		e.Decision = policy.Stale.String()
	case ex.p.withholds(ex.route, ex.start):
		e.Decision, e.Reason = policy.Failed.String(), policy.StoreUnavailable.String()
	}
}

// lease says whether the instance knows of every purge; empty where it is the only one.
func (ex *exchange) lease() string {
	if ex.p.lease == nil {
		return ""
	}
	lapsed := ex.p.lease.Lapsed(ex.start)
	state := "lapsed " + lapsed.Round(time.Millisecond).String() + " ago"
	switch lapsed {
	case 0:
		return "valid"
	case math.MaxInt64:
		state = "not held since the start"
	}
	if ex.trust == excused {
		return state + "; the route serves what memory has for " + (ex.route.LeaseLossMax - lapsed).Round(time.Millisecond).String() + " yet"
	}
	return state + "; copies are not used"
}

func (ex *exchange) describe(c *store.Copy) *Copy {
	d := &Copy{
		Status: c.Status, State: c.Life.State(ex.start).String(), Ledger: ex.p.ledger.Check(&c.Stamp, c.Members).String(),
		Age: c.Life.Age(ex.start).Round(time.Second).String(), TTL: c.Life.Left(ex.start).Round(time.Second).String(),
		Stored: c.Life.Received.UTC().Format(time.RFC3339), Position: c.Stamp.Token().Position(), Bytes: c.Length(),
		Hits: c.Use.Hits.Load(), Vary: c.Vary, ETag: c.Get("Etag"), ContentType: c.Get("Content-Type"),
	}
	if coding := c.Coding(); coding != httpcache.Identity {
		d.Held = fmt.Sprintf("%s, %d bytes", coding, len(c.Body))
	}
	if w := c.Life.StaleWhileRevalidate; w > 0 {
		d.StaleWhile = w.String()
	}
	if w := c.Life.StaleIfError; w > 0 {
		d.StaleError = w.String()
	}
	return d
}
