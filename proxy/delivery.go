package proxy

import (
	"bytes"
	"cmp"
	"errors"
	"net/http"
	"strconv"
	"time"

	"cacheproxy/policy"
	"cacheproxy/policy/httpcache"
	"cacheproxy/proxy/server"
	"cacheproxy/store"
)

// delivery is the answer to one request: the writer, the Status, and the end of the answer for the log.
type delivery struct {
	w  recorder
	rq *request

	status  policy.Status // set once, by settle
	settled bool
	said    string         // the text sent in Cache-Status; empty: none was kept, or the text had the key
	ended   policy.Reason  // for the log; see broke. NoReason: broke was not called
	shown   policy.Outcome // result of a comparison, for the log and the metrics; zero: no comparison

	requestID string // empty: no id was needed so far
	originID  string // the id sent to the origin or by the origin, where that may differ from requestID
	whole     bool   // the handler returned without a panic: the answer is complete

	validating http.Header // see validators; reused by the next request that gets this exchange
}

// settle sets the Status of the answer. settle must be called exactly once, before the head of the answer is made:
// Cache-Status goes out with the head, and the log and the metrics have to print the same Status.
func (d *delivery) settle(s policy.Status) {
	if d.settled {
		settledTwice(d.status, s)
	}
	d.status, d.settled, d.said = s, true, ""
}

// cacheStatus is the text of Cache-Status for the log, without the key.
func (d *delivery) cacheStatus() string {
	if d.said != "" {
		return d.said
	}
	var buf [128]byte
	return string(d.status.Append(buf[:0]))
}

// settledTwice is called when settle is called again; the later status counts. Tests replace settledTwice by a function
// that fails the test.
var settledTwice = func(_, _ policy.Status) {}

// broke notes for the log why an answer broke off after the head had gone out, or why a comparison has no result.
func (d *delivery) broke(why policy.Reason) { d.ended = why }

// compared notes the result of comparing an answer with a copy, which is known only after the head has gone out.
func (d *delivery) compared(outcome policy.Outcome) { d.shown = outcome }

// finalOutcome is the outcome for metrics and log: the result of a comparison that was made after settle, or else the
// outcome of the Status.
func (d *delivery) finalOutcome() policy.Outcome { return cmp.Or(d.shown, d.status.Outcome) }

// finalReason is the reason for the log: the reason noted by broke after settle, or else the reason of the Status.
func (d *delivery) finalReason() policy.Reason { return cmp.Or(d.ended, d.status.Reason) }

// abort breaks off an answer whose head has gone out, so that the client does not take a part for the whole.
func (d *delivery) abort(why policy.Reason) {
	d.broke(why)
	panic(http.ErrAbortHandler)
}

// aborted reports whether the answer is incomplete.
func (d *delivery) aborted() bool {
	return !d.whole || d.w.failed || d.finalReason() == policy.ClientGone || d.finalReason() == policy.Incomplete
}

// refuse answers a request that the proxy cannot or must not serve.
func (d *delivery) refuse(r refusal) {
	outcome := policy.Failed
	if r == noRoom {
		outcome = policy.Shed
	}
	d.settle(policy.Status{Outcome: outcome, Reason: r.why})
	d.answer(r.code, r.text)
}

// answer sends an error of the proxy's own. With 503, Retry-After has the time that the upstream of the route gives.
func (d *delivery) answer(code int, text string) {
	h := d.w.Header()
	h.Set("Cache-Control", "no-store")
	if code == http.StatusServiceUnavailable {
		setRetryAfter(h, d.rq.route.Origin.RetryAfter())
	}
	d.addCacheStatus(h)
	server.Error(&d.w, d.rq.r, code, text, h.Get(requestIDField))
}

// setRetryAfter tells a client when to come back, in whole seconds (RFC 9110 §10.2.3).
func setRetryAfter(h http.Header, wait time.Duration) {
	h.Set("Retry-After", strconv.Itoa(int(wait/time.Second)))
}

// addHeader adds the fields that differ from answer to answer to the header of an answer from a copy: Age, Cache-Status
// and the like.
func (d *delivery) addHeader(h http.Header, age time.Duration) {
	var buf [160]byte
	text, n := d.appendVarying(buf[:0], age)
	d.addLines(h, string(text), n, make([]string, 0, 2))
}

// addHeaderOf makes the header of an answer from a copy: the stored fields and the fields of addHeader. If held is set,
// the stored fields describe the body as the copy holds the body. All values share one string and one slice, so that a
// hit allocates nothing else.
func (d *delivery) addHeaderOf(c *store.Copy, held bool, age time.Duration) {
	var buf [160]byte
	text, n := d.appendVarying(buf[:0], age)
	h := d.w.Header()
	both, lines := c.CopyHeaderAnd(h, held, text)
	d.addLines(h, both, n, lines)
}

// appendVarying appends the values of Age and Cache-Status. n is the length of the value of Age, in bytes.
func (d *delivery) appendVarying(to []byte, age time.Duration) (text []byte, n int) {
	to = strconv.AppendInt(to, int64(age/time.Second), 10)
	return d.appendCacheStatus(to), len(to)
}

// addLines adds Age and Cache-Status to a header. both has their values, one after the other; the value of Age is n
// bytes long. lines is empty and has room for both values.
func (d *delivery) addLines(h http.Header, both string, n int, lines []string) {
	lines = append(lines, both[:n], both[n:])
	h["Age"] = lines[:1:1]
	switch before := h["Cache-Status"]; {
	case d.rq.cfg.CacheStatusOff: // the lines of caches between the origin and this proxy stay
	case len(before) > 0:
		h["Cache-Status"] = append(before[:len(before):len(before)], lines[1])
	default:
		h["Cache-Status"] = lines[1:2:2]
	}
	if d.requestID != "" {
		h[requestIDField] = []string{d.requestID}
	}
	d.edit(h, true)
	keepUntyped(h)
}

// edit applies the SetFields and RemoveFields of the route to a header that is about to be sent. The header may be that
// of a whole answer, of a part, or of a 304, from which the client updates the stored fields (RFC 9110 §15.4.5, RFC
// 9111 §4.3.4). The proxy judges and stores the header from before edit.
//
// copied says that the answer is a copy or becomes a copy. In any other answer, a Cache-Control with no-store or
// private stays, since the answer may be for its client alone.
func (d *delivery) edit(h http.Header, copied bool) {
	r := d.rq.route.Route.Route
	if len(r.RemoveFields)+len(r.SetFields) == 0 {
		return
	}
	said := h[cacheControlField]
	for _, name := range r.RemoveFields {
		delete(h, name)
	}
	for name, lines := range r.SetFields {
		h[name] = lines
	}
	if !copied && len(said) > 0 {
		if own := httpcache.ParseDirectives(said); own.NoStore || own.Private {
			h[cacheControlField] = said
		}
	}
}

const cacheControlField = "Cache-Control"

// keepUntyped stops net/http from guessing a Content-Type for an answer without Content-Type.
func keepUntyped(h http.Header) {
	if _, ok := h["Content-Type"]; !ok {
		h["Content-Type"] = nil
	}
}

// addCacheStatus appends this cache to the list of caches that handled the answer (RFC 9211 §2), and adds the id of the
// request.
func (d *delivery) addCacheStatus(h http.Header) {
	d.addID(h)
	if d.rq.cfg.CacheStatusOff {
		return
	}
	var buf [128]byte
	list := h["Cache-Status"]
	text := string(d.appendCacheStatus(buf[:0]))
	h["Cache-Status"] = append(list[:len(list):len(list)], text)
	if !d.rq.cfg.CacheStatusKey {
		d.said = text
	}
}

func (d *delivery) appendCacheStatus(dst []byte) []byte {
	status := d.status
	if d.rq.cfg.CacheStatusKey {
		status.Key = string(d.rq.key)
	}
	return status.Append(dst)
}

// id is the id of this request. The first call makes the id, since an answer from a copy that is not logged needs none.
func (d *delivery) id() string {
	if d.requestID == "" {
		d.requestID = newRequestID()
	}
	return d.requestID
}

// addID adds the id to the header, unless the answer of the origin to this very request has an id already.
func (d *delivery) addID(h http.Header) {
	if own := h[requestIDField]; len(own) > 0 {
		d.originID = own[0]
		return
	}
	h[requestIDField] = []string{d.id()}
}

// recorder notes the status, the length and the failure of an answer. All abilities of the server's writer stay
// available: http.ResponseController finds that writer through Unwrap.
type recorder struct {
	http.ResponseWriter
	code   int
	bytes  int64
	failed bool // a write of the body to the client failed
	// lends is set over HTTP/2, where net/http may read the bytes of a Write after Write has returned. The race: the
	// client resets the stream; Write returns; the caller gives the bytes back, and another answer overwrites them;
	// only then the goroutine of the connection, which already has the frame, reads the bytes. So Write passes on a
	// copy of the bytes.
	lends bool
}

// copiedBy is the length, in bytes, up to which net/http copies a write before Write returns. Of longer writes the
// recorder clones clonedAtOnce bytes at a time.
const copiedBy, clonedAtOnce = 4 << 10, 16 << 10

func (w *recorder) WriteHeader(code int) {
	if code >= 200 || code == http.StatusSwitchingProtocols {
		w.code = code
	}
	w.ResponseWriter.WriteHeader(code)
}

func (w *recorder) Write(p []byte) (int, error) {
	if w.code == 0 {
		w.code = http.StatusOK
	}
	n, err := w.write(p)
	w.bytes += int64(n)
	if err != nil && !errors.Is(err, http.ErrBodyNotAllowed) { // ErrBodyNotAllowed: the protocol has no body here
		w.failed = true
	}
	return n, err
}

func (w *recorder) write(p []byte) (n int, err error) {
	if !w.lends || len(p) <= copiedBy {
		return w.ResponseWriter.Write(p)
	}
	for len(p) > 0 && err == nil {
		piece, wrote := bytes.Clone(p[:min(len(p), clonedAtOnce)]), 0
		wrote, err = w.ResponseWriter.Write(piece)
		n, p = n+wrote, p[len(piece):]
	}
	return n, err
}

// Unwrap returns the writer of the server, for http.ResponseController.
func (w *recorder) Unwrap() http.ResponseWriter { return w.ResponseWriter }
