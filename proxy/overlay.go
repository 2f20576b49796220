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

// readsPending makes a read see the queued writes of its key, as the route's read_pending says. The read is answered
// with the content of the last write (overlay), or waits until the writes are done. readsPending reports whether the
// read has been answered.
//
// Invariant: a reader sees the content of a queued write only if the origin would show the content to that reader. The
// client that has sent the write sees the content, as far as the origin can tell clients apart. Other readers see the
// content if the origin's answer to them may be shared by all. Any other read waits, and then gets the origin's answer.
// A reader whom the origin refuses is passed to the origin without waiting.
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
		case &queueBlocked: // a decision may take hours, too long for a client to wait
			text = "a write that this read is to see waits for somebody to decide about it; try again later"
		case &queueDown:
			text = readUnsure.text
		}
		refuseLater(ex, refusal{refused.code, refused.why, text})
		return true
	}
	// Copies that were fetched before the writes were done must not answer this read.
	ex.arrival = ex.p.ledger.Token()
	return false
}

// unconditional reports whether a read asks for the whole representation without a condition that would have to be
// judged. The content of a queued write has no validator for If-Match and the like, and a Range may be about another
// representation. If-None-Match with tags is no obstacle: none of the tags can belong to that content, and an
// If-Modified-Since beside the tags is ignored (RFC 9110 §13.1.3).
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

// overlaying returns the queued write whose content is the whole representation that the request asks for; nil: the
// write with this id is no such write, or cannot be read.
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

// sight says whether a reader may see the content of a queued write.
type sight uint8

const (
	unseen sight = iota // no, or the proxy cannot tell
	seen                // yes
	barred              // no: the origin refuses this reader altogether
)

// mayRead says whether a reader may see the content of a queued write. mayRead may ask the origin.
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
	case ex.route.behind.AuthorizeUpstream != "": // that upstream says who may read, but not that all readers see the same
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

// forEveryone reports whether the cache would share the origin's answer to the reader between reader and writer: the
// origin has not chosen the answer by anything in which the two requests differ. The writer's content, which is to
// replace that answer, is then for the reader too.
func forEveryone(ex *exchange, w *writebehind.Write, res *http.Response) bool {
	if ex.action != policy.ReadAction && ex.action != policy.CredentialsAction { // passed because of a cookie or a field that may choose the answer
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
	tellsClients := func(name string) bool { return !slices.Contains(negotiating, name) }
	return res.StatusCode == http.StatusOK && verdict.Store && !star && !slices.ContainsFunc(names, tellsClients)
}

// showOverlay answers a read with the content of a queued write.
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
		_, _ = ex.w.Write(w.Body) // an error means that the client has left
	}
}
