package fill

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strconv"

	"cacheproxy/invalidation"
	"cacheproxy/policy"
	"cacheproxy/policy/httpcache"
	"cacheproxy/store"
)

// missing is a response whose parts are stored but for one stretch (RFC 9111 §3.3, §3.4), and that stretch. missing
// is immutable.
type missing struct {
	of  *store.Parts
	gap httpcache.Span
}

// lookupMissing looks for stored parts of the answer that lack only one stretch, so that the origin need not send the
// rest. nil: the store has no such parts.
func (c *running) lookupMissing() *missing {
	q := c.q
	p := c.f.store.LookupParts(q.Key, c.sent)
	if p == nil {
		return nil
	}
	c.held = append(c.held, p.Of)
	if p.Size > q.MaxObject || httpcache.StrongValidator(p.Of.Header()) == "" {
		return nil
	}
	if gap, ok := p.Missing(); ok {
		return &missing{p, gap}
	}
	return nil
}

// completable reports whether the ledger allows the stored parts to be used.
func (m *missing) completable(ledger *invalidation.Ledger) bool {
	return ledger.Check(&m.of.Of.Stamp, m.of.Of.Members()) <= invalidation.Soft
}

// ask adds Range and If-Range to a request header, so that the origin sends only the missing stretch.
func (m *missing) ask(h http.Header) {
	last := ""
	if m.gap.Last < m.of.Size-1 {
		last = strconv.FormatInt(m.gap.Last, 10)
	}
	h["Range"] = []string{"bytes=" + strconv.FormatInt(m.gap.First, 10) + "-" + last}
	h["If-Range"] = []string{httpcache.StrongValidator(m.of.Of.Header())}
}

// declines reports whether a response answers the Range of the request with something else than the missing part.
func (m *missing) declines(resp *http.Response) bool {
	switch resp.StatusCode {
	case http.StatusRequestedRangeNotSatisfiable:
		return true
	case http.StatusPartialContent:
		part, ok := httpcache.ParseContentRange(resp.Header)
		return !ok || part != httpcache.PartOf{Span: m.gap, Size: m.of.Size} ||
			resp.ContentLength >= 0 && resp.ContentLength != part.Len() || !httpcache.Combinable(m.of.Of.Header(), resp.Header)
	}
	return false
}

// complete turns a response with the missing part into the whole response. The new body reads the stored parts and
// the missing part in order.
func (m *missing) complete(resp *http.Response) {
	header := httpcache.MergeNotModified(m.of.Of.Header(), httpcache.WholeHeader(resp.Header))
	resp.StatusCode, resp.ContentLength = http.StatusOK, m.of.Size
	resp.Header = withLength(header, int(m.of.Size))
	var all []io.Reader
	if m.gap.First > 0 {
		all = append(all, readers(m.of.Bytes(httpcache.Span{First: 0, Last: m.gap.First - 1}))...)
	}
	all = append(all, &exactly{Reader: resp.Body, left: m.gap.Len()})
	if m.gap.Last < m.of.Size-1 {
		all = append(all, readers(m.of.Bytes(httpcache.Span{First: m.gap.Last + 1, Last: m.of.Size - 1}))...)
	}
	resp.Body = &joinedBody{Reader: io.MultiReader(all...), Closer: resp.Body}
}

// keepPart stores the answer to a request for a part, or the beginning of an answer that broke off. Like copies,
// parts are stored by put, but under a key of their own, where a look-up of a copy does not find them. Older parts
// are combined with the new part unless the older parts were purged or belong to another response. The check runs
// within the store's atomic update of the key, so that no other part can come in between.
//
// If the parts are complete, keepPart stores the whole as a copy with the members of all parts, since a purge of any
// part has to hit the copy. The published response keeps its own members: res is a value of this goroutine.
func (c *running) keepPart(res Response, part httpcache.PartOf, data []byte) {
	if int64(len(data)) != part.Len() {
		c.q.Route.Metrics.NotStored(policy.Partial) // the body is not as long as its Content-Range says
		return
	}
	var now *store.Parts // nil: nothing was stored
	defer func() { now.Release() }()
	header := httpcache.WholeHeader(res.Header)
	a := c.answer(res)
	a.Status = http.StatusPartialContent
	_, why := c.f.put(a, content{
		size: part.Size,
		copy: func() *store.Copy { return store.NewCopy(http.StatusPartialContent, header, nil) },
		place: func(of *store.Copy) {
			now = c.f.store.PutParts(c.q.Key, c.sent, store.NewParts(of, part, exact(data)), c.q.MaxObject, func(older *store.Parts) bool {
				return c.f.ledger.Check(&older.Of.Stamp, older.Of.Members()) <= invalidation.Soft && httpcache.Combinable(older.Of.Header(), header)
			})
		},
	})
	if why != policy.NoReason {
		c.q.Route.Metrics.NotStored(why)
		return
	}
	// The parts may be complete. Without a strong validator, the parts may belong to different versions, and do not
	// become a copy.
	if body, ok := now.Whole(); ok && httpcache.StrongValidator(header) != "" {
		res.Members = now.Of.Members()
		whole := store.NewCopy(http.StatusOK, withLength(now.Of.Header(), len(body)), body)
		defer whole.Release()
		if c.keep(res, contentOf(whole)) {
			c.f.store.DropParts(c.q.Key, c.sent)
		}
	}
}

// withLength sets the length of the body in h, which must be the caller's own, and returns h.
func withLength(h http.Header, n int) http.Header {
	h["Content-Length"] = []string{strconv.Itoa(n)}
	return h
}

// keepBroken stores the bytes of an answer that broke off, if a later fill can ask for the rest (RFC 9111 §3.3): the
// length is known, and the answer has a strong validator.
func (c *running) keepBroken(resp *http.Response, res Response) {
	data, kept := res.body.whole()
	if !kept || len(data) == 0 || !res.Verdict.Store || httpcache.StrongValidator(res.Header) == "" {
		return
	}
	part := httpcache.PartOf{Size: resp.ContentLength}
	switch {
	case c.part != nil:
		part = *c.part
	case res.Status != http.StatusOK:
		return
	}
	last := part.First + int64(len(data)) - 1
	if last >= part.Size || c.part != nil && last > part.Last {
		return
	}
	part.Last = last
	c.keepPart(res, part, data)
}

func readers(slices [][]byte) []io.Reader {
	list := make([]io.Reader, len(slices))
	for i, p := range slices {
		list[i] = bytes.NewReader(p)
	}
	return list
}

// joinedBody is a body of stored bytes and of bytes from the origin.
type joinedBody struct {
	io.Reader
	io.Closer
}

// exactly reads a body that must have left bytes: with more or fewer bytes, the parts after that body would be at
// wrong offsets.
type exactly struct {
	io.Reader
	left int64
}

// Read implements io.Reader.
func (e *exactly) Read(p []byte) (int, error) {
	n, err := e.Reader.Read(p)
	e.left -= int64(n)
	switch {
	case e.left < 0:
		return 0, fmt.Errorf("complete response: the part has %d bytes too many", -e.left)
	case err == io.EOF && e.left > 0:
		return n, io.ErrUnexpectedEOF
	}
	return n, err
}
