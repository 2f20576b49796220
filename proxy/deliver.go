package proxy

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"time"

	"cacheproxy/policy"
	"cacheproxy/policy/httpcache"
	"cacheproxy/proxy/fill"
	"cacheproxy/store"
)

// deliverCopy answers with a stored copy, or with 304 if the client has the representation already. An error says that
// the copy cannot be decoded, after the head has gone out.
func (d *delivery) deliverCopy(c *store.Copy) error {
	if c.Coding() != httpcache.Identity {
		return d.deliverCoded(c)
	}
	r, age := d.rq.r, c.Life().Age(d.rq.start)
	if httpcache.Conditional(r.Header) {
		if httpcache.NotModified(r.Header, r.Method, c.Status(), d.validators(c), c.Life().Received) {
			if !writeStored(d, c, age, http.StatusNotModified) {
				d.deliverNotModified(c.Header(), age)
			}
			return nil
		}
	}
	if len(d.rq.ranges) > 0 && c.Status() == http.StatusOK && d.deliverRanges(c.Header(), age, int64(len(c.Body())), d.sliced(c.Body())) {
		return nil
	}
	if !writeStored(d, c, age, c.Status()) {
		d.addHeaderOf(c, false, age)
		d.w.WriteHeader(c.Status())
	}
	if r.Method != http.MethodHead && len(c.Body()) > 0 {
		_, _ = d.w.Write(c.Body()) // an error means that the client has left: nothing more to do
	}
	return nil
}

// validators returns the fields of a copy's header with which conditions are compared. The map is valid until the next
// call, and only while the request holds the copy.
func (d *delivery) validators(c *store.Copy) http.Header {
	if d.validating == nil {
		d.validating = make(http.Header, 3)
	}
	for _, name := range [...]string{"Etag", "Last-Modified", "Date"} {
		if lines := c.AppendValues(d.validating[name][:0], name); len(lines) > 0 {
			d.validating[name] = lines
		} else {
			delete(d.validating, name)
		}
	}
	return d.validating
}

// deliverNotModified answers with 304: the client's representation is the stored one (RFC 9110 §15.4.5).
func (d *delivery) deliverNotModified(stored http.Header, age time.Duration) {
	h := d.w.Header()
	share(h, httpcache.NotModifiedHeader(stored))
	d.addHeader(h, age)
	d.w.WriteHeader(http.StatusNotModified)
}

// share puts the fields of src into dst. The values are shared, not copied: no code writes to them.
func share(dst, src http.Header) {
	for name, values := range src {
		dst[name] = values[:len(values):len(values)]
	}
}

// deliverFill answers with the response of a fill, while the body arrives. shown says which part of the body is sent.
// The error is that of deliverCopy.
func (d *delivery) deliverFill(res *fill.Response, from *fill.Reader, shown stretch) error {
	switch {
	case res.Confirmed != nil && res.Confirmed.Coding() != httpcache.Identity:
		return d.deliverCoded(res.Confirmed)
	case d.hasAlready(res):
		d.deliverNotModified(res.Header, res.Verdict.Lifetime.Age(time.Now()))
		return nil
	case shown.unsatisfiable:
		d.unsatisfiable(res.Header, shown.size)
		return nil
	case len(shown.spans) > 0:
		write := d.sliced(shown.data)
		if shown.data == nil {
			write = func(s httpcache.Span) error { d.follow(res, from, s); return nil }
		}
		d.deliverSpans(res.Header, shown.spans, shown.size, func(h http.Header) { d.addFillHeader(h, res) }, write)
		return nil
	}
	h := d.w.Header()
	share(h, res.Header)
	d.addFillHeader(h, res)
	d.w.WriteHeader(res.Status)
	d.follow(res, from, everything)
	return nil
}

// hasAlready reports whether the client has the representation that a fill brings.
func (d *delivery) hasAlready(res *fill.Response) bool {
	r := d.rq.r
	return httpcache.Conditional(r.Header) && httpcache.NotModified(r.Header, r.Method, res.Status, res.Header, res.Verdict.Lifetime.Received)
}

// addFillHeader adds the fields that differ from answer to answer.
func (d *delivery) addFillHeader(h http.Header, res *fill.Response) {
	life := res.Verdict.Lifetime
	if res.Verdict.Store && (res.Confirmed != nil || d.status.Collapsed || res.Age != nil) {
		h["Age"] = []string{strconv.FormatInt(int64(life.Age(time.Now())/time.Second), 10)}
	} else if res.Age != nil {
		h["Age"] = res.Age
	}
	d.addCacheStatus(h)
	d.edit(h, res.Verdict.Store)
	keepUntyped(h)
}

// follow sends a body, or the wanted stretch of the body, to the client as the bytes arrive. If the body breaks off, so
// does the answer.
func (d *delivery) follow(res *fill.Response, from *fill.Reader, wanted httpcache.Span) {
	ctx, flush := d.rq.r.Context(), http.NewResponseController(&d.w)
	if res.Header["Content-Length"] == nil && from.Idle() {
		_ = flush.Flush() // the client may wait for the head while the first bytes are still to come
	}
	for at := int64(0); at <= wanted.Last; {
		p, err := from.Next(ctx)
		if err != nil {
			if at == res.Length && ctx.Err() != nil {
				return // the client has been sent the whole body, and has left since
			}
			d.abort(brokenBy(ctx, err))
		}
		if len(p) == 0 {
			break
		}
		whole := int64(len(p))
		p = p[min(max(wanted.First-at, 0), whole):min(wanted.Last+1-at, whole)]
		if at += whole; len(p) == 0 {
			continue
		}
		if _, err := d.w.Write(p); err != nil {
			d.broke(policy.ClientGone)
			return
		}
		if from.Idle() {
			_ = flush.Flush() // a writer without Flush chooses itself when to send
		}
	}
	if wanted != everything {
		return
	}
	for name, values := range from.Trailer() {
		d.w.Header()[http.TrailerPrefix+name] = values
	}
}

// brokenBy says why an answer broke off, given the error of the body's reader and the context of the request.
func brokenBy(ctx context.Context, err error) policy.Reason {
	switch {
	case ctx.Err() != nil:
		return policy.ClientGone
	case errors.Is(err, fill.ErrLaggard):
		return policy.Laggard
	}
	return policy.Incomplete
}
