package proxy

import (
	"crypto/rand"
	"math"
	"net/http"
	"strconv"
	"time"

	"cacheproxy/policy"
	"cacheproxy/proxy/fill"
)

// everything is the span of a body whose end is not known.
var everything = policy.Span{First: 0, Last: math.MaxInt64 - 1}

// spanWriter writes a stretch of a body to the client.
type spanWriter func(policy.Span) error

// sliced writes from a body that is there.
func (ex *exchange) sliced(body []byte) spanWriter {
	return func(s policy.Span) error {
		_, err := ex.w.Write(body[s.First : s.Last+1])
		return err
	}
}

// deliverRanges answers with the parts of a 200 that the request asks for (RFC 9110 §14.2). It reports false when the
// whole is to be sent. header belongs to the caller of the whole; it is not changed.
func (ex *exchange) deliverRanges(header http.Header, age time.Duration, size int64, write spanWriter) bool {
	if !policy.RangeApplies(ex.r.Header, header) {
		return false
	}
	spans, ok := ex.ranges.Select(size)
	if !ok {
		ex.unsatisfiable(size)
		return true
	}
	return ex.deliverSpans(header, spans, size, func(h http.Header) { ex.addHeader(h, age) }, write)
}

// deliverSpans answers with spans of a whole of size bytes; complete adds what differs from answer to answer to the header.
// It reports false when there are none, or when the whole is no longer than they would be.
func (ex *exchange) deliverSpans(header http.Header, spans []policy.Span, size int64, complete func(http.Header), write spanWriter) bool {
	switch len(spans) {
	case 0:
		return false
	case 1:
		h := ex.w.Header()
		share(h, header)
		policy.MakePartial(h, policy.PartOf{Span: spans[0], Size: size})
		complete(h)
		ex.w.WriteHeader(http.StatusPartialContent)
		_ = write(spans[0]) // a client that has left; nothing more to do for it
		return true
	}
	m := newByteRanges(header, spans, size)
	if m.length >= size {
		return false
	}
	h := ex.w.Header()
	share(h, header)
	m.head(h)
	complete(h)
	ex.w.WriteHeader(http.StatusPartialContent)
	for i, s := range spans {
		if _, err := ex.w.Write(m.heads[i]); err != nil {
			return true
		}
		if err := write(s); err != nil {
			return true
		}
	}
	_, _ = ex.w.Write(m.end) // likewise
	return true
}

// unsatisfiable answers a request for bytes that are not there (RFC 9110 §15.5.17).
func (ex *exchange) unsatisfiable(size int64) {
	ex.w.Header()["Content-Range"] = []string{"bytes */" + strconv.FormatInt(size, 10)}
	ex.answer(http.StatusRequestedRangeNotSatisfiable, "the ranges asked for begin beyond the end: there are "+strconv.FormatInt(size, 10)+" bytes")
}

// byteRanges is an answer of several parts (RFC 9110 §14.6).
type byteRanges struct {
	boundary string
	heads    [][]byte // what goes before each part
	end      []byte
	length   int64 // of all of it
}

func newByteRanges(header http.Header, spans []policy.Span, size int64) *byteRanges {
	// Nobody who writes the body can know the boundary, and so none can put it there.
	m := &byteRanges{boundary: rand.Text()}
	for i, s := range spans {
		var head []byte
		if i > 0 {
			head = append(head, "\r\n"...)
		}
		head = append(append(append(head, "--"...), m.boundary...), "\r\n"...)
		if t := header.Get("Content-Type"); t != "" {
			head = append(append(append(head, "Content-Type: "...), t...), "\r\n"...)
		}
		head = append(append(append(head, "Content-Range: "...), policy.PartOf{Span: s, Size: size}.String()...), "\r\n\r\n"...)
		m.heads = append(m.heads, head)
		m.length += int64(len(head)) + s.Len()
	}
	m.end = []byte("\r\n--" + m.boundary + "--\r\n")
	m.length += int64(len(m.end))
	return m
}

// head makes the header of the whole that of the parts: it must not say which part they are (§15.3.7.2).
func (m *byteRanges) head(h http.Header) {
	policy.MakePartial(h, policy.PartOf{})
	delete(h, "Content-Range")
	h["Content-Type"] = []string{"multipart/byteranges; boundary=" + m.boundary}
	h["Content-Length"] = []string{strconv.FormatInt(m.length, 10)}
}

// deliverFillRanges answers with the parts of what a fill brings. One part of a body whose length is known goes out as it
// comes; for the rest, the body has to be there. It reports false when the whole is to be sent.
func (ex *exchange) deliverFillRanges(res *fill.Response, from *fill.Reader) bool {
	if !policy.RangeApplies(ex.r.Header, res.Header) {
		return false
	}
	size, write := res.Length, func(s policy.Span) error { ex.follow(res, from, s); return nil }
	if size < 0 || len(ex.ranges) > 1 {
		data, kept, err := from.Whole(ex.r.Context())
		switch {
		case ex.r.Context().Err() != nil:
			ex.gone()
		case err != nil:
			ex.fail(policy.OriginError, err)
			return true
		case !kept && res.Ranged:
			return false // the origin was asked for the part, and does not heed Range
		case !kept:
			from.Detach()
			ex.status = policy.Status{}
			ex.pass(policy.RangeRequest)
			return true
		}
		size, write = int64(len(data)), ex.sliced(data)
	}
	spans, ok := ex.ranges.Select(size)
	if !ok {
		ex.unsatisfiable(size)
		return true
	}
	return ex.deliverSpans(res.Header, spans, size, func(h http.Header) { ex.addFillHeader(h, res) }, write)
}
