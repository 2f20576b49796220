package proxy

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"cacheproxy/policy"
	"cacheproxy/policy/httpcache"
	"cacheproxy/store"
)

// Hits answers requests that need nothing but a fresh copy, before net/http sees the request. Hits is safe for
// concurrent use.
type Hits struct{ p *Proxy }

// NewHits returns the Hits of a proxy, whose answers are the same as those of ServeHTTP.
func NewHits(p *Proxy) Hits { return Hits{p} }

// Answer answers a request without content, if the decision is to serve a fresh copy and to do nothing else. Otherwise
// Answer reports false, and has neither written nor counted anything: the caller then gives the same request to
// ServeHTTP. Answer keeps no reference to r. With waits, Answer may first look for the copy in the tiers below memory,
// and blocks meanwhile.
func (h Hits) Answer(w http.ResponseWriter, r *http.Request, waits bool) (answered bool) {
	if h.p.tracer != nil { // a span outlives its request, and only ServeHTTP draws whether a request is sampled
		return false
	}
	ex := exchanges.Get().(*exchange)
	ex.begin(h.p, w, r)
	d, ok := atOnce(ex, waits)
	if !ok {
		ex.held.release()
		reset(ex)
		return false
	}
	answered = true // also after a panic, for which caught has answered
	defer ex.finish()
	defer caught(ex)
	ex.execute(&d)
	ex.whole = true
	return answered
}

// atOnce makes the decision about a request, and reports whether Answer may carry out the decision. After a panic, ok
// is false: the request goes to ServeHTTP, which meets the same defect and reports the defect.
func atOnce(ex *exchange, waits bool) (d decision, ok bool) {
	defer func() {
		if recover() != nil {
			ok = false
		}
	}()
	if peer, _ := untrustedProxy(ex); peer.IsValid() { // ServeHTTP has to warn
		return d, false
	}
	if ex.resolve(ex.scheme()) != nil || ex.target.Host == "" || ex.route.behind != nil {
		return d, false
	}
	mode, share := ex.route.mode(ex.start)
	if share < 1 || mode != policy.On { // ServeHTTP draws for the share; a second draw here would change the share
		return d, false
	}
	ex.mode = mode
	ex.lease = ex.route.leaseState(ex.p.lease, ex.start)
	if ex.plan(); ex.action != policy.ReadAction && ex.action != policy.CredentialsAction {
		return d, false
	}
	if d, ok = ex.p.unfetched(&ex.request, ex.start); !ok && waits && recalled(ex, d.found) {
		d, ok = ex.p.unfetched(&ex.request, time.Now())
	}
	return d, ok && d.step == serveCopy && d.outcome == policy.Hit && !d.renews && d.found.Copy.Has("Content-Length")
}

// recalled looks in the tiers below memory for the copy of a request that found none in memory, and reports whether
// memory then has a fresh copy.
//
// recalled need not look at the lease again. Recall finds nothing unless this instance held the lease when the request
// came, and compares the copy with the ledger after the copy has come up. If the lease ends in between, this instance
// may miss a purge; but that purge is later than the request, so an answer from before the purge is correct.
func recalled(ex *exchange, found candidate) bool {
	if found.reason != policy.URIMiss && found.reason != policy.VaryMiss || found.previous != nil || found.unusable != nil {
		return false
	}
	r := ex.r
	if r.Method != http.MethodGet || len(ex.ranges) > 0 || ex.directives != (httpcache.RequestDirectives{}) || onlyIfCached(r.Header) || !ex.p.store.Deep() {
		return false
	}
	return ex.p.fills.Recall(ex.route.Route, keyText(&ex.request), ex.url, ex.asks(found).forward, ex.start)
}

// headWriter is a ResponseWriter that takes a head as text, with the lines sorted by name, instead of a map. BeginHead
// returns a buffer with the status line. The caller appends the lines and hands the buffer to EndHead; length is the
// length of the content.
type headWriter interface {
	BeginHead(status int) []byte
	EndHead(head []byte, length int)
}

// writeStored writes the head of an answer from a copy, or of a 304 about the copy: the stored text of the copy, with
// Age and Cache-Status inserted at their places in the order of names. If anything else in the header has to change,
// writeStored writes nothing and reports false; the caller then makes the header as a map.
func writeStored(d *delivery, c *store.Copy, age time.Duration, status int) bool {
	to, ok := d.w.ResponseWriter.(headWriter)
	if !ok || d.requestID != "" || d.rq.cfg.CacheStatusOff || len(d.rq.route.RemoveFields)+len(d.rq.route.SetFields) > 0 {
		return false
	}
	if !c.Has("Date") || c.Has("Cache-Status") || c.Has("Age") || c.Status() == http.StatusNoContent {
		return false
	}
	d.w.code = status
	head := c.Head()
	first := insertionPoint(head, "Age")
	second := first + insertionPoint(head[first:], "Cache-Status")
	appendLines := func(out []byte, lines string) []byte { return append(out, lines...) }
	if status == http.StatusNotModified {
		tagged := c.Has("Etag")
		appendLines = func(out []byte, lines string) []byte { return appendKept(out, lines, tagged) }
	}
	out := appendLines(to.BeginHead(status), head[:first])
	out = strconv.AppendInt(append(out, "Age: "...), int64(age/time.Second), 10)
	out = appendLines(append(out, "\r\n"...), head[first:second])
	out = d.appendCacheStatus(append(out, "Cache-Status: "...))
	to.EndHead(appendLines(append(out, "\r\n"...), head[second:]), len(c.Body()))
	return true
}

// appendKept appends the lines that belong in a 304. tagged says that the copy has an ETag.
func appendKept(out []byte, lines string, tagged bool) []byte {
	for len(lines) > 0 {
		end := strings.IndexByte(lines, '\n') + 1
		if httpcache.InNotModified(lines[:strings.IndexByte(lines, ':')], tagged) {
			out = append(out, lines[:end]...)
		}
		lines = lines[end:]
	}
	return out
}

// insertionPoint is the offset at which a line of this name would be inserted in lines, which are sorted by name.
func insertionPoint(lines, name string) (at int) {
	for at < len(lines) {
		line := lines[at:]
		if line[:strings.IndexByte(line, ':')] > name {
			break
		}
		at += strings.IndexByte(line, '\n') + 1
	}
	return at
}
