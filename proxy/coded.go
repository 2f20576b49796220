package proxy

import (
	"fmt"
	"net/http"

	"cacheproxy/policy/httpcache"
	"cacheproxy/store"
	"cacheproxy/store/coding"
)

// deliverCoded answers with a copy whose body is held compressed: as it is to clients that accept that, and to others as the
// origin sent it.
func (d *delivery) deliverCoded(c *store.Copy) error {
	asHeld := httpcache.Compressed(d.rq.r.Header, c.Coding())
	h, age := d.w.Header(), c.Life.Age(d.rq.start)
	if httpcache.Conditional(d.rq.r.Header) {
		stored := c.Header()
		if httpcache.NotModified(d.rq.r.Header, d.rq.r.Method, c.Status, stored, c.Life.Received) {
			if asHeld {
				c.RecodeNotModified(stored)
			}
			d.deliverNotModified(stored, age)
			return nil
		}
	}
	if len(d.rq.ranges) > 0 && c.Status == http.StatusOK && d.deliverCodedRanges(c) {
		return nil
	}
	c.CopyHeader(h)
	if asHeld {
		c.Recode(h)
	}
	d.addHeader(h, age)
	d.w.WriteHeader(c.Status)
	switch {
	case d.rq.r.Method == http.MethodHead:
	case asHeld:
		_, _ = d.w.Write(c.Body()) // a client that has left; nothing more to do for it
	default:
		return d.unpack(c)
	}
	return nil
}

// deliverCodedRanges answers with ranges of what the origin sent, which is what a Range selects from here. Unpacking all of
// it is bounded by max_object.
func (d *delivery) deliverCodedRanges(c *store.Copy) bool {
	plain, err := coding.Decode(c.Coding(), c.Body(), c.Length())
	if err != nil {
		return false // the whole fails in the same way, and is reported
	}
	return d.deliverRanges(c.Header(), c.Life.Age(d.rq.start), int64(len(plain)), d.sliced(plain))
}

// unpack sends the body of a copy without the coding that it is held in. The error is one of the copy, not of the client.
func (d *delivery) unpack(c *store.Copy) error {
	w := &clientWriter{to: &d.w}
	err := coding.Stream(w, c.Coding(), c.Body(), c.Length())
	if err == nil || w.gone {
		return nil // a client that has left; nothing more to do for it
	}
	return fmt.Errorf("unpack copy: %w", err)
}

// clientWriter tells a client that has left from a body that cannot be decoded.
type clientWriter struct {
	to   *recorder
	gone bool
}

func (w *clientWriter) Write(p []byte) (int, error) {
	n, err := w.to.Write(p)
	w.gone = w.gone || err != nil
	return n, err
}
