package proxy

import (
	"net/http"

	"cacheproxy/policy"
	"cacheproxy/store"
	"cacheproxy/store/coding"
)

// deliverCoded answers with a copy whose body is held compressed: as it is to clients that accept that, and to others as the
// origin sent it.
func (ex *exchange) deliverCoded(c *store.Copy) {
	asHeld := policy.Compressed(ex.r.Header, c.Coding())
	h, age := ex.w.Header(), c.Life.Age(ex.start)
	if policy.Conditional(ex.r.Header) {
		stored := c.Header()
		if policy.NotModified(ex.r.Header, ex.r.Method, c.Status, stored, c.Life.Received) {
			if asHeld {
				c.RecodeNotModified(stored)
			}
			ex.deliverNotModified(stored, age)
			return
		}
	}
	if len(ex.ranges) > 0 && c.Status == http.StatusOK && ex.deliverCodedRanges(c) {
		return
	}
	c.CopyHeader(h)
	if asHeld {
		c.Recode(h)
	}
	ex.addHeader(h, age)
	ex.w.WriteHeader(c.Status)
	switch {
	case ex.r.Method == http.MethodHead:
	case asHeld:
		_, _ = ex.w.Write(c.Body) // a client that has left; nothing more to do for it
	default:
		ex.unpack(c)
	}
}

// deliverCodedRanges answers with ranges of what the origin sent, which is what a Range selects from here. Unpacking all of
// it is bounded by max_object.
func (ex *exchange) deliverCodedRanges(c *store.Copy) bool {
	plain, err := coding.Decode(c.Coding(), c.Body, c.Length())
	if err != nil {
		return false // the whole fails in the same way, and is reported
	}
	return ex.deliverRanges(c.Header(), c.Life.Age(ex.start), int64(len(plain)), ex.sliced(plain))
}

// unpack sends the body of a copy without the coding that it is held in.
func (ex *exchange) unpack(c *store.Copy) {
	w := &clientWriter{to: &ex.w}
	err := coding.Stream(w, c.Coding(), c.Body, c.Length())
	if err == nil || w.gone {
		return // a client that has left; nothing more to do for it
	}
	ex.p.store.Drop(string(ex.key), c)
	ex.p.logger.Error("copy not unpacked", "route", ex.route.Name, "error", err)
	ex.status.Reason = policy.Incomplete
	// The client must not take a part for the whole.
	panic(http.ErrAbortHandler)
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
