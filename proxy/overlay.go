package proxy

import (
	"net/http"
	"strconv"
	"strings"

	"cacheproxy/policy"
	"cacheproxy/policy/httpcache"
	"cacheproxy/proxy/server"
	"cacheproxy/writebehind"
)

// readsPending has a read see the writes before it that are not done, as its route says. It reports whether the read is answered.
//
// What a write puts there is shown to whom the read is allowed: by the upstream that says who may, or because the reader is the one who has
// sent it, or because the origin answers the reader's own read. To whoever none of these is true of, the read is what it is without a queue.
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
		refuseLater(ex, refusal{http.StatusServiceUnavailable, policy.StoreUnavailable, "it cannot be asked whether writes wait that this read is to see, try again"})
		return true
	}
	if last[0].ID == "" {
		return false
	}
	if rules.ReadPending == writebehind.Overlay {
		if w := b.overlaying(ex, last[0].ID, key); w != nil {
			if !mayRead(ex, w) {
				return false
			}
			showOverlay(ex, w)
			return true
		}
	}
	if refused := b.await(ex.r.Context(), []string{key}, rules.Patience); refused != nil {
		refuseLater(ex, refusal{refused.code, refused.why, "writes wait that this read is to see, and are not done yet; try again"})
		return true
	}
	// What was stored or fetched before they were done is not for this read.
	ex.arrival = ex.p.ledger.Token()
	return false
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

// mayRead reports whether a reader may see what a write puts there. In doubt it may not.
func mayRead(ex *exchange, w *writebehind.Write) bool {
	if ex.route.behind.AuthorizeUpstream != "" {
		return allowed(ex, ex.r.Method, false)
	}
	h := ex.r.Header.Clone()
	httpcache.RemoveHopByHop(h)
	for name := range h {
		if name == "Range" || name == "Expect" || strings.HasPrefix(name, "If-") {
			delete(h, name)
		}
	}
	httpcache.Forward(h, server.PeerAddr(ex.r), ex.target.Scheme, ex.target.Host, ex.trusted)
	httpcache.AppendVia(h, ex.r.ProtoMajor, ex.r.ProtoMinor)
	if own := clientOf(ex.route, h); own != "" && own == clientOf(ex.route, w.Header) {
		return true
	}
	res, err := exchangeOnce(ex.r.Context(), ex.route.Origin, &once{method: ex.r.Method, target: ex.target, header: h, route: ex.route.Name})
	return err == nil && res.StatusCode == http.StatusOK
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
