package proxy

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"cacheproxy/policy"
	"cacheproxy/policy/httpcache"
	"cacheproxy/proxy/server"
	"cacheproxy/writebehind"
)

var readUnsure = refusal{http.StatusServiceUnavailable, policy.StoreUnavailable, "it cannot be asked whether writes wait that this read is to see, try again"}

// readsPending has a read see the writes before it that are not done, as its route says. It reports whether the read is answered.
//
// Invariant: what a write puts there is shown to a reader only where the origin would show it: to the one who has sent it, by all that the origin
// may know clients by, and to others only what the origin itself says that all may have. Any other read waits, as it does where nothing can be
// shown, and then has the origin's answer. Whom the origin refuses hears that at once.
func readsPending(ex *exchange) (answered bool) {
	b, rules := ex.p.behind, ex.route.behind
	if rules == nil || rules.ReadPending == writebehind.Stale || ex.mode != policy.On || b.shows(&ex.request) {
		return false
	}
	if ex.action == policy.WriteAction || ex.r.Method != http.MethodGet && ex.r.Method != http.MethodHead || ex.match.Route == nil {
		return false
	}
	key := writebehind.KeyOf(b.prefix, ownKey(&ex.request))
	last, err := b.queue.Last(ex.r.Context(), key)
	if err != nil {
		b.tell(err)
		refuseLater(ex, readUnsure)
		return true
	}
	if last[0].ID == "" {
		return false
	}
	if rules.ReadPending == writebehind.Overlay && unconditional(ex.r.Header) {
		if w := b.overlaying(ex, last[0].ID, key); w != nil {
			switch mayRead(ex, w) {
			case seen:
				showOverlay(ex, w)
				return true
			case barred:
				return false
			}
		}
	}
	if refused := b.await(ex.r.Context(), []string{key}, rules.Patience); refused != nil {
		text := "writes wait that this read is to see, and are not done yet; try again"
		switch refused {
		case &queueBlocked: // for hours, it may be: there is no use in having the client wait
			text = "a write that this read is to see waits for somebody to decide about it; try again later"
		case &queueDown:
			text = readUnsure.text
		}
		refuseLater(ex, refusal{refused.code, refused.why, text})
		return true
	}
	// What was stored or fetched before they were done is not for this read.
	ex.arrival = ex.p.ledger.Token()
	return false
}

// unconditional reports whether a read is of the whole representation, whatever it is: what waits has no validator by which to judge If-Match and
// its like, and the part of it that a range asks for may be of another. No tag in If-None-Match is that of what waits, since nobody was given
// one; it stands for If-Modified-Since too (RFC 9110 §13.1.3).
func unconditional(h http.Header) bool {
	tags := h["If-None-Match"]
	for name := range h {
		switch {
		case name == "If-None-Match", name == "If-Modified-Since" && len(tags) > 0:
		case name == "Range", strings.HasPrefix(name, "If-"):
			return false
		}
	}
	return !slices.ContainsFunc(tags, func(line string) bool { return httpcache.TrimOWS(line) == "*" })
}

// overlaying is the write that says what is to be read; nil: that cannot be said.
func (b *Behind) overlaying(ex *exchange, id, key string) *writebehind.Write {
	r, err := b.queue.Find(ex.r.Context(), id)
	if err != nil || r.Sealed == nil || r.State == writebehind.Dead {
		return nil
	}
	content, err := b.sealer.Open(id, key, r.Sealed)
	if err != nil {
		return nil
	}
	w, err := writebehind.Decode(content)
	if err != nil || !w.Overlays() || !strings.EqualFold(w.Host, ex.target.Host) {
		return nil
	}
	target := w.Target()
	if target.Host = ex.target.Host; target != ex.target {
		return nil
	}
	return w
}

// sight is what a reader may see of a write.
type sight uint8

const (
	unseen sight = iota // or it is not known
	seen
	barred // nor anything else
)

// mayRead says whether a reader may see what a write puts there.
func mayRead(ex *exchange, w *writebehind.Write) sight {
	h := ex.r.Header.Clone()
	httpcache.RemoveHopByHop(h)
	for name := range h {
		if name == "Range" || name == "Expect" || strings.HasPrefix(name, "If-") {
			delete(h, name)
		}
	}
	httpcache.Forward(h, server.PeerAddr(ex.r), ex.target.Scheme, ex.target.Host, ex.trusted)
	httpcache.AppendVia(h, ex.r.ProtoMajor, ex.r.ProtoMinor)
	own := askerOf(ex.route, h)
	same := own == askerOf(ex.route, w.Header)
	switch {
	case ex.route.behind.AuthorizeUpstream != "": // it says who may read, and not that all of them read the same
		if same && allowed(ex, ex.r.Method, false) {
			return seen
		}
		return unseen
	case same && own != "":
		return seen
	}
	res, err := exchangeOnce(ex.r.Context(), ex.route.Origin, &once{method: ex.r.Method, target: ex.target, header: h, route: ex.route.Name})
	switch {
	case err != nil:
		return unseen
	case res.StatusCode == http.StatusUnauthorized || res.StatusCode == http.StatusForbidden:
		return barred
	case forEveryone(ex, w, res):
		return seen
	}
	return unseen
}

// forEveryone reports whether the origin's answer to a reader is one that the cache would give to the writer too: nothing by which the two differ
// has chosen it. So what takes its place is for both.
func forEveryone(ex *exchange, w *writebehind.Write, res *http.Response) bool {
	if ex.action != policy.ReadAction && ex.action != policy.CredentialsAction { // for a cookie or a field that the route does not list
		return false
	}
	key := func(h http.Header) string {
		return string(ex.route.AppendKey(nil, ex.target, ex.route.KeyedHost(ex.target.Host), ex.query, h))
	}
	if key(ex.r.Header) != key(w.Header) {
		return false
	}
	verdict := ex.route.Judge(policy.Fetch{
		Method: http.MethodGet, Authorized: len(ex.r.Header["Authorization"]) > 0, Requested: ex.start, Received: time.Now(), Status: res.StatusCode,
		Header: res.Header, BodyLength: res.ContentLength, Through: true,
	})
	names, star := httpcache.ParseVary(res.Header["Vary"])
	chosen := func(name string) bool { return !slices.Contains(negotiating, name) }
	return res.StatusCode == http.StatusOK && verdict.Store && !star && !slices.ContainsFunc(names, chosen)
}

// showOverlay answers a read with what a write puts there.
func showOverlay(ex *exchange, w *writebehind.Write) {
	h := ex.w.Header()
	for _, name := range [...]string{"Content-Type", "Content-Language"} {
		if lines := w.Header[name]; len(lines) > 0 {
			h[name] = lines
		}
	}
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Length", strconv.Itoa(len(w.Body)))
	keepUntyped(h)
	ex.settle(policy.Status{Outcome: policy.Queued, Detail: "pending"})
	ex.addCacheStatus(h)
	ex.w.WriteHeader(http.StatusOK)
	if ex.r.Method != http.MethodHead {
		_, _ = ex.w.Write(w.Body) // a client that has left
	}
}
