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

// missing is the one stretch that lacks of a response of which the rest is stored (RFC 9111 §3.3, §3.4). It is immutable.
type missing struct {
	of  *store.Parts
	gap httpcache.Span
}

// lookupMissing looks for parts of the answer of which only one stretch is missing, so that the origin need not send the rest.
// Nil: there are none.
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

// completable reports whether the parts may still be used, for all that is known here.
func (m *missing) completable(ledger *invalidation.Ledger) bool {
	return ledger.Check(&m.of.Of.Stamp, m.of.Of.Members()) <= invalidation.Soft
}

// ask makes a request one for what is missing.
func (m *missing) ask(h http.Header) {
	last := ""
	if m.gap.Last < m.of.Size-1 {
		last = strconv.FormatInt(m.gap.Last, 10)
	}
	h["Range"] = []string{"bytes=" + strconv.FormatInt(m.gap.First, 10) + "-" + last}
	h["If-Range"] = []string{httpcache.StrongValidator(m.of.Of.Header())}
}

// declines reports whether a response is an answer to the Range of the request, and yet not the missing part.
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

// complete makes the missing part the whole response that it completes.
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

// keepPart stores the answer to a request for a part, or the beginning of one that broke off. Parts are stored by put, as copies are,
// and under a key of their own, where nothing that looks for a copy finds them. Older parts that were purged, or are not of the
// same answer, are not joined with it: they are checked within the store's own update of the key, so that none can come in between.
//
// The parts may become whole by it. The whole has the members of all parts, for whatever purges one of them purges it. The
// response that is published keeps its own: it is a value, and res is this goroutine's.
func (c *running) keepPart(res Response, part httpcache.PartOf, data []byte) {
	if int64(len(data)) != part.Len() {
		c.q.Route.Metrics.NotStored(policy.Partial) // it is not what it says
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
	// The last part makes it whole. Without a validator, that it is one and the same is the origin's word only.
	if body, ok := now.Whole(); ok && httpcache.StrongValidator(header) != "" {
		res.Members = now.Of.Members()
		whole := store.NewCopy(http.StatusOK, withLength(now.Of.Header(), len(body)), body)
		defer whole.Release()
		if c.keep(res, contentOf(whole)) {
			c.f.store.DropParts(c.q.Key, c.sent)
		}
	}
}

// withLength is a header of the caller's own with the length of the body.
func withLength(h http.Header, n int) http.Header {
	h["Content-Length"] = []string{strconv.Itoa(n)}
	return h
}

// keepBroken stores what came of an answer that broke off, if the rest can be asked for (RFC 9111 §3.3): its length is
// known, and it has a strong validator.
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

// joinedBody is a body put together of what is stored and what comes.
type joinedBody struct {
	io.Reader
	io.Closer
}

// exactly reads a body that has to have a number of bytes: with more or fewer, what follows would be out of place.
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
