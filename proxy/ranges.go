package proxy

import (
	"context"
	"crypto/rand"
	"maps"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"

	"cacheproxy/policy"
	"cacheproxy/policy/httpcache"
	"cacheproxy/proxy/fill"
)

// everything is the span of a body whose end is not known.
var everything = httpcache.Span{First: 0, Last: math.MaxInt64 - 1}

// spanWriter writes a stretch of a body to the client.
type spanWriter func(httpcache.Span) error

// sliced returns a spanWriter for a body that is complete.
func (d *delivery) sliced(body []byte) spanWriter {
	return func(s httpcache.Span) error {
		_, err := d.w.Write(body[s.First : s.Last+1])
		return err
	}
}

// deliverRanges answers with the ranges of a 200 that the request asks for (RFC 9110 §14.2), or with 416. If the whole
// is to be sent, deliverRanges sends nothing and reports false. header is the header of the whole, and is not changed.
func (d *delivery) deliverRanges(header http.Header, age time.Duration, size int64, write spanWriter) bool {
	if !httpcache.RangeApplies(d.rq.r.Header, header) {
		return false
	}
	spans, ok := d.rq.ranges.Select(size)
	if !ok {
		d.unsatisfiable(header, size)
		return true
	}
	if !worthParts(header, spans, size) {
		return false
	}
	d.deliverSpans(header, spans, size, func(h http.Header) { d.addHeader(h, age) }, write)
	return true
}

// deliverSpans answers with spans of a whole of size bytes. The spans must satisfy worthParts. complete adds the fields
// that differ from answer to answer.
func (d *delivery) deliverSpans(header http.Header, spans []httpcache.Span, size int64, complete func(http.Header), write spanWriter) {
	if len(spans) == 1 {
		h := d.w.Header()
		share(h, header)
		httpcache.MakePartial(h, httpcache.PartOf{Span: spans[0], Size: size})
		complete(h)
		d.w.WriteHeader(http.StatusPartialContent)
		_ = write(spans[0]) // an error means that the client has left
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

// worthParts reports whether to send the spans instead of the whole: there is one span, or there are several that are
// shorter than the whole, with the overhead of multipart/byteranges.
func worthParts(header http.Header, spans []httpcache.Span, size int64) bool {
	return len(spans) == 1 || len(spans) > 1 && newByteRanges(header, spans, size).length < size
}

// unsatisfiable answers with 416 (RFC 9110 §15.5.17). header is the header of the whole, and is not changed. The fields
// that say which web pages may read the whole are sent with the 416 too. Without these fields a browser would show the
// script that asked an error of CORS instead of the status (WHATWG Fetch §3.3).
func (d *delivery) unsatisfiable(header http.Header, size int64) {
	said := make(http.Header, len(header))
	maps.Copy(said, header)
	d.edit(said, true)
	for name, lines := range said {
		if strings.HasPrefix(name, "Access-Control-") || name == "Cross-Origin-Resource-Policy" || name == "Vary" {
			d.w.Header()[name] = lines[:len(lines):len(lines)]
		}
	}
	d.w.Header()["Content-Range"] = []string{"bytes */" + strconv.FormatInt(size, 10)}
	d.answer(http.StatusRequestedRangeNotSatisfiable, "the ranges asked for begin beyond the end: there are "+strconv.FormatInt(size, 10)+" bytes")
}

// byteRanges is an answer of several parts (RFC 9110 §14.6).
type byteRanges struct {
	boundary string
	heads    [][]byte // the delimiter and the fields before each part
	end      []byte
	length   int64 // of the whole body
}

func newByteRanges(header http.Header, spans []httpcache.Span, size int64) *byteRanges {
	// The boundary is random, so that nobody who chooses the body can put the boundary there.
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

// head turns the header of the whole into that of the multipart answer, which must not have a Content-Range (§15.3.7.2).
func (m *byteRanges) head(h http.Header) {
	httpcache.MakePartial(h, httpcache.PartOf{})
	delete(h, "Content-Range")
	h["Content-Type"] = []string{"multipart/byteranges; boundary=" + m.boundary}
	h["Content-Length"] = []string{strconv.FormatInt(m.length, 10)}
}

// stretch is the part of a fill's body that is sent. The zero value is the whole.
type stretch struct {
	spans         []httpcache.Span // none: the whole
	size          int64            // of the whole; set if there are spans, or with unsatisfiable
	data          []byte           // the whole, if received beforehand; nil: the body is sent as received
	unsatisfiable bool             // the answer is 416
}

// stretchOf says which part of a fill's body to send. One range of a body whose length is known is sent as the body
// comes; otherwise stretchOf waits for the whole body. why is NoReason if the answer can be sent. RangeRequest means
// that the body is too long to be kept, and that the request has to be passed. Any other why says, with err, why the
// body did not come.
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
			return stretch{}, policy.NoReason, nil // the origin was asked for the part, and ignores Range
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
