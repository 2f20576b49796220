package proxy

import (
	"context"
	"crypto/rand"
	"math"
	"net/http"
	"strconv"
	"time"

	"cacheproxy/policy"
	"cacheproxy/policy/httpcache"
	"cacheproxy/proxy/fill"
)

// everything is the span of a body whose end is not known.
var everything = httpcache.Span{First: 0, Last: math.MaxInt64 - 1}

// spanWriter writes a stretch of a body to the client.
type spanWriter func(httpcache.Span) error

// sliced writes from a body that is there.
func (d *delivery) sliced(body []byte) spanWriter {
	return func(s httpcache.Span) error {
		_, err := d.w.Write(body[s.First : s.Last+1])
		return err
	}
}

// deliverRanges answers with the parts of a 200 that the request asks for (RFC 9110 §14.2). It reports false when the
// whole is to be sent. header belongs to the caller of the whole; it is not changed.
func (d *delivery) deliverRanges(header http.Header, age time.Duration, size int64, write spanWriter) bool {
	if !httpcache.RangeApplies(d.rq.r.Header, header) {
		return false
	}
	spans, ok := d.rq.ranges.Select(size)
	if !ok {
		d.unsatisfiable(size)
		return true
	}
	if !worthParts(header, spans, size) {
		return false
	}
	d.deliverSpans(header, spans, size, func(h http.Header) { d.addHeader(h, age) }, write)
	return true
}

// deliverSpans answers with spans of a whole of size bytes; complete adds what differs from answer to answer to the header.
// They are worth it.
func (d *delivery) deliverSpans(header http.Header, spans []httpcache.Span, size int64, complete func(http.Header), write spanWriter) {
	if len(spans) == 1 {
		h := d.w.Header()
		share(h, header)
		httpcache.MakePartial(h, httpcache.PartOf{Span: spans[0], Size: size})
		complete(h)
		d.w.WriteHeader(http.StatusPartialContent)
		_ = write(spans[0]) // a client that has left; nothing more to do for it
		return
	}
	m := newByteRanges(header, spans, size)
	h := d.w.Header()
	share(h, header)
	m.head(h)
	complete(h)
	d.w.WriteHeader(http.StatusPartialContent)
	for i, s := range spans {
		if _, err := d.w.Write(m.heads[i]); err != nil {
			return
		}
		if err := write(s); err != nil {
			return
		}
	}
	_, _ = d.w.Write(m.end) // likewise
}

// worthParts reports whether an answer with spans of a whole is shorter than the whole.
func worthParts(header http.Header, spans []httpcache.Span, size int64) bool {
	return len(spans) == 1 || len(spans) > 1 && newByteRanges(header, spans, size).length < size
}

// unsatisfiable answers a request for bytes that are not there (RFC 9110 §15.5.17).
func (d *delivery) unsatisfiable(size int64) {
	d.w.Header()["Content-Range"] = []string{"bytes */" + strconv.FormatInt(size, 10)}
	d.answer(http.StatusRequestedRangeNotSatisfiable, "the ranges asked for begin beyond the end: there are "+strconv.FormatInt(size, 10)+" bytes")
}

// byteRanges is an answer of several parts (RFC 9110 §14.6).
type byteRanges struct {
	boundary string
	heads    [][]byte // what goes before each part
	end      []byte
	length   int64 // of all of it
}

func newByteRanges(header http.Header, spans []httpcache.Span, size int64) *byteRanges {
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
		head = append(append(append(head, "Content-Range: "...), httpcache.PartOf{Span: s, Size: size}.String()...), "\r\n\r\n"...)
		m.heads = append(m.heads, head)
		m.length += int64(len(head)) + s.Len()
	}
	m.end = []byte("\r\n--" + m.boundary + "--\r\n")
	m.length += int64(len(m.end))
	return m
}

// head makes the header of the whole that of the parts: it must not say which part they are (§15.3.7.2).
func (m *byteRanges) head(h http.Header) {
	httpcache.MakePartial(h, httpcache.PartOf{})
	delete(h, "Content-Range")
	h["Content-Type"] = []string{"multipart/byteranges; boundary=" + m.boundary}
	h["Content-Length"] = []string{strconv.FormatInt(m.length, 10)}
}

// stretch is what of a fill's answer is sent. The zero value is the whole.
type stretch struct {
	spans         []httpcache.Span // none: the whole
	size          int64            // of the whole, where there are spans, or none that can be
	data          []byte           // the whole, where it had to be there; nil: it is followed as it comes
	unsatisfiable bool             // the client asks for what is not there
}

// stretchOf says what of a fill's answer to send. One part of a body whose length is known goes out as it comes; for the rest,
// the body has to be there. An answer that is too long to be kept is not the one to give: why is RangeRequest then, and what
// kept it from coming else.
func (d *delivery) stretchOf(ctx context.Context, res *fill.Response, from *fill.Reader) (s stretch, why policy.Reason, err error) {
	if len(d.rq.ranges) == 0 || res.Status != http.StatusOK || res.Confirmed != nil && res.Confirmed.Coding() != httpcache.Identity ||
		d.hasAlready(res) || !httpcache.RangeApplies(d.rq.r.Header, res.Header) {
		return stretch{}, policy.NoReason, nil
	}
	s.size = res.Length
	if s.size < 0 || len(d.rq.ranges) > 1 {
		data, kept, err := from.Whole(ctx)
		switch {
		case ctx.Err() != nil:
			return stretch{}, policy.ClientGone, nil
		case err != nil:
			return stretch{}, policy.OriginError, err
		case !kept && res.Ranged:
			return stretch{}, policy.NoReason, nil // the origin was asked for the part, and does not heed Range
		case !kept:
			return stretch{}, policy.RangeRequest, nil
		}
		s.size, s.data = int64(len(data)), data
	}
	spans, ok := d.rq.ranges.Select(s.size)
	switch {
	case !ok:
		s.unsatisfiable = true
	case worthParts(res.Header, spans, s.size):
		s.spans = spans
	}
	return s, policy.NoReason, nil
}
