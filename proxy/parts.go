package proxy

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strconv"

	"cacheproxy/invalidation"
	"cacheproxy/policy"
	"cacheproxy/store"
)

// wantsPart reports whether this request asks the origin for a part instead of the whole: there is no copy that could be
// confirmed, and nothing is known against keeping the answer but its size.
func (ex *exchange) wantsPart(c candidate) bool {
	return len(ex.ranges) > 0 && ex.route.Range == policy.RangePart && c.Copy == nil && (!c.Shareless || c.Why == policy.TooLarge)
}

// deliverParts answers with what is stored of a response that is not complete, if that is all that the request asks for
// (RFC 9111 §3.3). If it is not, c says so.
func (ex *exchange) deliverParts(c *candidate) bool {
	if c.Copy != nil || ex.r.Method != http.MethodGet || ex.trust == uninformed {
		return false
	}
	p := ex.p.store.LookupParts(string(ex.key), ex.selection(ex.selecting(*c)))
	if p == nil {
		return false
	}
	if use, _ := ex.judge(p.Of, ex.start); use != policy.Fresh || !policy.MeetsPreconditions(ex.r.Header, p.Of.Header()) {
		return false
	}
	if len(ex.ranges) > 0 && ex.answerFrom(p) {
		return true
	}
	c.reason, ex.status.Reason = policy.PartMiss, policy.PartMiss
	return false
}

// answerFrom answers with the parts that are asked for, if they are all there.
func (ex *exchange) answerFrom(p *store.Parts) bool {
	header := p.Of.Header()
	if policy.NotModified(ex.r.Header, ex.r.Method, p.Of.Status, header, p.Of.Life.Received) {
		ex.partHit(p)
		ex.deliverNotModified(header, p.Of.Life.Age(ex.start))
		return true
	}
	spans, ok := ex.ranges.Wholly(p.Size, p.Have())
	if !ok || !policy.RangeApplies(ex.r.Header, header) {
		return false
	}
	before := ex.status
	ex.partHit(p)
	age := p.Of.Life.Age(ex.start)
	if ex.deliverSpans(header, spans, p.Size, func(h http.Header) { ex.addHeader(h, age) }, ex.piecewise(p)) {
		return true
	}
	ex.status = before
	return false
}

func (ex *exchange) partHit(p *store.Parts) {
	ex.status.Outcome, ex.status.Reason = policy.Hit, policy.NoReason
	ex.excuse()
	ex.status.TTL, ex.status.HasTTL = p.Of.Life.Left(ex.start), true
}

// piecewise writes from a body of which parts are there.
func (ex *exchange) piecewise(p *store.Parts) spanWriter {
	return func(s policy.Span) error {
		for _, stretch := range p.Bytes(s) {
			if _, err := ex.w.Write(stretch); err != nil {
				return err
			}
		}
		return nil
	}
}

// keepPart stores the answer to a request for a part, or the beginning of one that broke off.
func (c *call) keepPart(res *fill, part policy.PartOf, data []byte) {
	if int64(len(data)) != part.Len() {
		c.q.route.metrics.NotStored(policy.Partial) // it is not what it says
		return
	}
	header := policy.WholeHeader(res.header)
	of := store.NewCopy(http.StatusPartialContent, header, nil)
	of.Life, of.Vary, of.Members = res.verdict.Lifetime, res.verdict.Vary, res.ids
	of.Stamp.Set(res.token)
	c.p.ledger.Retain(of.Life.Retention())
	if !c.p.ledger.Admits(res.token, res.ids) {
		c.q.route.metrics.NotStored(policy.Outdated)
		return
	}
	now := c.p.store.PutParts(c.q.key, c.q.forward, store.NewParts(of, part, exact(data)), c.p.config().MaxObject,
		func(older *store.Parts) bool {
			return c.p.ledger.Check(&older.Of.Stamp, older.Of.Members) <= invalidation.Soft && policy.Combinable(older.Of.Header(), header)
		})
	// The last part makes it whole. Without a validator, that it is one and the same is the origin's word only.
	if body, ok := now.Whole(); ok && policy.StrongValidator(header) != "" {
		whole := store.NewCopy(http.StatusOK, withLength(now.Of.Header(), len(body)), body)
		complete := *res // what was published stays as it is: others read it
		complete.ids = now.Of.Members
		if c.put(&complete, whole) {
			c.p.store.DropParts(c.q.key, c.q.forward)
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
func (c *call) keepBroken(resp *http.Response, res *fill) {
	data, kept := res.body.whole()
	if !kept || len(data) == 0 || !res.verdict.Store || policy.StrongValidator(res.header) == "" {
		return
	}
	part := policy.PartOf{Size: resp.ContentLength}
	switch {
	case res.part != nil:
		part = *res.part
	case res.status != http.StatusOK:
		return
	}
	last := part.First + int64(len(data)) - 1
	if last >= part.Size || res.part != nil && last > part.Last {
		return
	}
	part.Last = last
	c.keepPart(res, part, data)
}

// resume looks for parts of the answer of which only one stretch is missing, so that the origin need not send the rest.
func (c *call) resume() {
	q := c.q
	if q.base != nil || q.ranges != "" {
		return
	}
	p := c.p.store.LookupParts(q.key, q.forward)
	if p == nil || p.Size > c.p.config().MaxObject || policy.StrongValidator(p.Of.Header()) == "" {
		return
	}
	if gap, ok := p.Missing(); ok {
		q.parts, q.gap = p, gap
	}
}

// askFor makes a request one for a part: the one that the client wants, or the one that is missing.
func (q *fetch) askFor(h http.Header) {
	switch {
	case q.ranges != "":
		h["Range"] = []string{q.ranges}
		if q.ifRange != "" {
			h["If-Range"] = []string{q.ifRange}
		}
	case q.parts != nil:
		last := ""
		if q.gap.Last < q.parts.Size-1 {
			last = strconv.FormatInt(q.gap.Last, 10)
		}
		h["Range"] = []string{"bytes=" + strconv.FormatInt(q.gap.First, 10) + "-" + last}
		h["If-Range"] = []string{policy.StrongValidator(q.parts.Of.Header())}
	}
}

// ofRange reports whether a status is an answer to the Range of a request, and not to the request without it.
func ofRange(status int) bool {
	return status == http.StatusPartialContent || status == http.StatusRequestedRangeNotSatisfiable
}

// completes reports whether a response is the missing part of what is stored (RFC 9111 §3.4).
func (q *fetch) completes(resp *http.Response) bool {
	part, ok := policy.ParseContentRange(resp.Header)
	return ok && resp.StatusCode == http.StatusPartialContent && part == policy.PartOf{Span: q.gap, Size: q.parts.Size} &&
		(resp.ContentLength < 0 || resp.ContentLength == part.Len()) && policy.Combinable(q.parts.Of.Header(), resp.Header)
}

// complete makes the missing part the whole response that it completes.
func (q *fetch) complete(resp *http.Response) {
	header := policy.MergeNotModified(q.parts.Of.Header(), policy.WholeHeader(resp.Header))
	resp.StatusCode, resp.ContentLength = http.StatusOK, q.parts.Size
	resp.Header = withLength(header, int(q.parts.Size))
	var all []io.Reader
	if q.gap.First > 0 {
		all = append(all, readers(q.parts.Bytes(policy.Span{First: 0, Last: q.gap.First - 1}))...)
	}
	all = append(all, &exactly{Reader: resp.Body, left: q.gap.Len()})
	if q.gap.Last < q.parts.Size-1 {
		all = append(all, readers(q.parts.Bytes(policy.Span{First: q.gap.Last + 1, Last: q.parts.Size - 1}))...)
	}
	resp.Body = &joinedBody{Reader: io.MultiReader(all...), Closer: resp.Body}
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
