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

// Hits answers requests for which nothing but a copy is needed, before net/http gets them. It is safe for concurrent use.
type Hits struct{ p *Proxy }

// NewHits makes one that answers with the copies of a proxy, as the proxy would.
func NewHits(p *Proxy) Hits { return Hits{p} }

// Answer answers a request without content, if the decision about it is that a fresh copy does, and nothing else is to be done for it.
// Otherwise it reports false, and nothing has happened: the request comes again by ServeHTTP. It keeps nothing of r. With waits, the copy
// may be one that is brought up from below memory.
func (h Hits) Answer(w http.ResponseWriter, r *http.Request, waits bool) (answered bool) {
	if h.p.tracer != nil { // spans outlive their requests, and what is drawn for one may be drawn once
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
	answered = true // whatever becomes of it
	defer ex.finish()
	defer caught(ex)
	ex.execute(&d)
	ex.whole = true
	return answered
}

// atOnce is the decision about a request, if it can be carried out here and now. A defect is none: ServeHTTP meets it too, and tells.
func atOnce(ex *exchange, waits bool) (d decision, ok bool) {
	defer func() {
		if recover() != nil {
			ok = false
		}
	}()
	if peer, _ := unbelieved(ex); peer.IsValid() {
		return d, false
	}
	if ex.resolve(ex.scheme()) != nil || ex.target.Host == "" || ex.route.behind != nil {
		return d, false
	}
	mode, share := ex.route.mode(ex.start)
	if share < 1 || mode != policy.On { // one request is drawn once
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

// recalled brings a copy for a request that found none in memory up from below, and reports whether it is there. The lease was held when the
// request came, and the copy is judged when it is there: what was purged in between, after the lease had ended, was there when the request came.
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

// headWriter is a ResponseWriter that takes the lines of a head as they go out, sorted by their names.
type headWriter interface {
	BeginHead(status int) []byte
	EndHead(head []byte, length int)
}

// writeStored writes the head of an answer from a copy, or of a 304 that stands for it, as it is stored, with what differs from answer to answer
// in its place among the lines. It reports false, and has written nothing, where more than that is to be changed: then the header is made as for any answer.
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
	first := before(head, "Age")
	second := first + before(head[first:], "Cache-Status")
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

// appendKept appends the lines that a 304 has.
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

// before is where in lines that are sorted by their names a line of this name would stand.
func before(lines, name string) (at int) {
	for at < len(lines) {
		line := lines[at:]
		if line[:strings.IndexByte(line, ':')] > name {
			break
		}
		at += strings.IndexByte(line, '\n') + 1
	}
	return at
}
