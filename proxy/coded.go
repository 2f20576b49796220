package proxy

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"slices"

	"cacheproxy/policy/httpcache"
	"cacheproxy/store"
	"cacheproxy/store/coding"
)

// deliverCoded answers with a copy whose body is held compressed. Clients that accept the coding get the body as held;
// other clients get the body as the origin sent it. The error is about the copy, not about the client.
func (d *delivery) deliverCoded(c *store.Copy) error {
	asHeld := httpcache.Compressed(d.rq.r.Header, c.Coding())
	age := c.Life().Age(d.rq.start)
	if httpcache.Conditional(d.rq.r.Header) {
		stored := c.Header()
		if httpcache.NotModified(d.rq.r.Header, d.rq.r.Method, c.Status(), stored, c.Life().Received) {
			if asHeld {
				c.RecodeNotModified(stored)
			}
			d.deliverNotModified(stored, age)
			return nil
		}
	}
	if len(d.rq.ranges) > 0 && c.Status() == http.StatusOK {
		if sent, err := d.deliverCodedRanges(c); sent {
			return err
		}
	}
	d.addHeaderOf(c, asHeld, age)
	d.w.WriteHeader(c.Status())
	switch {
	case d.rq.r.Method == http.MethodHead:
	case asHeld:
		_, _ = d.w.Write(c.Body()) // an error means that the client has left: nothing more to do
	default:
		return d.unpack(c)
	}
	return nil
}

// deliverCodedRanges answers with ranges of the body as the origin sent it: a Range header selects from that form. The
// body is decoded once, up to the last wanted byte. For ranges that are not in ascending order, the body would have to
// be decoded again for each range. sent is false then, and the caller sends the whole (RFC 9110 §14.2). The error is
// about the copy, not about the client.
func (d *delivery) deliverCodedRanges(c *store.Copy) (sent bool, err error) {
	size := int64(c.Length())
	if spans, ok := d.rq.ranges.Select(size); ok && !slices.IsSortedFunc(spans, byFirst) {
		return false, nil
	}
	w, plain := &clientWriter{to: &d.w}, coding.NewReader(d.rq.r.Context(), c.Coding(), c.Body(), c.Length())
	defer plain.Close()
	sent = d.deliverRanges(c.Header(), c.Life().Age(d.rq.start), size, func(s httpcache.Span) error {
		unpacked := plain.Copy(w, int(s.First), int(s.Last)+1)
		if err = unpacked; w.left(d.rq.r.Context()) {
			err = nil
		}
		return unpacked
	})
	if err != nil {
		err = fmt.Errorf("unpack copy: %w", err)
	}
	return sent, err
}

func byFirst(a, b httpcache.Span) int { return cmp.Compare(a.First, b.First) }

// unpack sends the decoded body of a copy that is held compressed. The error is about the copy, not about the client.
func (d *delivery) unpack(c *store.Copy) error {
	w := &clientWriter{to: &d.w}
	err := coding.Stream(d.rq.r.Context(), w, c.Coding(), c.Body(), c.Length())
	if err == nil || w.left(d.rq.r.Context()) {
		return nil // the client has left: nothing more to do
	}
	return fmt.Errorf("unpack copy: %w", err)
}

// clientWriter remembers that a write to the client has failed. deliverCodedRanges and unpack so tell a client that has
// left from a body that cannot be decoded.
type clientWriter struct {
	to   *recorder
	gone bool
}

// left reports whether the client of a request has left.
func (w *clientWriter) left(request context.Context) bool { return w.gone || request.Err() != nil }

func (w *clientWriter) Write(p []byte) (int, error) {
	n, err := w.to.Write(p)
	w.gone = w.gone || err != nil
	return n, err
}
