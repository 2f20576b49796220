package httpcache

import (
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

const (
	// maxRanges is how many ranges one request may ask for. A request with more comes from a broken client, or attacks
	// the server that has to build the answer (RFC 9110 §14.2, §17.15).
	maxRanges = 64
	// maxOverlaps is how many of the ranges may overlap others (§14.2: "more than two overlapping ranges").
	maxOverlaps = 2
	// partOverhead is the size of a part of a multipart answer besides its bytes. A smaller gap between two ranges
	// costs less than a part of its own (§15.3.7.2).
	partOverhead = 80
)

// Ranges are the ranges of a Range field (RFC 9110 §14.1.2), in its order. Empty: the whole.
type Ranges []rangeSpec

// rangeSpec is one range-spec. Positions beyond math.MaxInt64 count as math.MaxInt64.
type rangeSpec struct {
	first, last int64 // of an int-range; last is math.MaxInt64 where the range is open
	suffix      int64 // of a suffix-range: the number of last bytes; -1: an int-range
}

// Span is a stretch of a body, both ends included.
type Span struct{ First, Last int64 }

// Len is the number of bytes, at least one.
func (s Span) Len() int64 { return s.Last - s.First + 1 }

// contains reports whether all of x is in s.
func (s Span) contains(x Span) bool { return s.First <= x.First && x.Last <= s.Last }

// ForeignRange reports whether a Range field has another unit than bytes, or none. A proxy may ignore such a field (RFC
// 9110 §14.2), but only the origin knows the unit: where an API counts in pages or items, the proxy must not answer
// with the whole.
func ForeignRange(req http.Header) bool {
	for _, line := range req["Range"] {
		if _, ok := cutBytesUnit(line); !ok {
			return true
		}
	}
	return false
}

// cutBytesUnit removes the range-unit, in any case (§14.1).
func cutBytesUnit(line string) (set string, ok bool) {
	const unit = "bytes="
	line = TrimOWS(line)
	if len(line) < len(unit) || !strings.EqualFold(line[:len(unit)], unit) {
		return "", false
	}
	return line[len(unit):], true
}

// ParseRanges reads the Range field of a request. The result is empty, so that the whole is the answer, for other
// methods than GET, other units than bytes, malformed fields, and too many ranges (RFC 9110 §14.2).
func ParseRanges(method string, req http.Header) Ranges {
	lines := req["Range"]
	if method != http.MethodGet || len(lines) != 1 { // the grammar has no list over several lines
		return nil
	}
	set, ok := cutBytesUnit(lines[0])
	if !ok {
		return nil
	}
	var ranges Ranges
	for element := range strings.SplitSeq(set, ",") {
		element = TrimOWS(element)
		if element == "" { // a recipient accepts empty list elements (§5.6.1.2)
			continue
		}
		spec, valid := parseRangeSpec(element)
		if !valid || len(ranges) == maxRanges {
			return nil
		}
		ranges = append(ranges, spec)
	}
	return ranges
}

func parseRangeSpec(s string) (rangeSpec, bool) {
	first, last, dash := strings.Cut(s, "-")
	if !dash {
		return rangeSpec{}, false
	}
	if first == "" {
		n, ok := parsePosition(last)
		return rangeSpec{suffix: n}, ok
	}
	spec := rangeSpec{last: math.MaxInt64, suffix: -1}
	var ok bool
	if spec.first, ok = parsePosition(first); !ok {
		return rangeSpec{}, false
	}
	if last != "" {
		if spec.last, ok = parsePosition(last); !ok || spec.last < spec.first {
			return rangeSpec{}, false
		}
	}
	return spec, true
}

// parsePosition reads 1*DIGIT.
func parsePosition(s string) (int64, bool) {
	if s == "" || !digitBytes.all(s) {
		return 0, false
	}
	n, _ := strconv.ParseInt(s, 10, 64) // math.MaxInt64 where the number is larger
	return n, true
}

// Select applies the ranges to a body of size bytes, in the order of the request (RFC 9110 §15.3.7.2). Ranges that
// overlap or almost touch become one span. No spans: the whole is the answer. That is so for an empty body, of which
// Content-Range cannot name a part, and where the ranges repeat each other too much. ok is false when the answer is
// 416: no range has a byte of the body (§15.5.17).
func (r Ranges) Select(size int64) (spans []Span, ok bool) {
	if len(r) == 0 || size <= 0 {
		return nil, true
	}
	spans = make([]Span, 0, len(r))
	left, repeats, overlaps := size, false, 0
	for _, spec := range r {
		s, satisfiable := spec.of(size)
		if !satisfiable {
			continue
		}
		repeats = repeats || s.Len() > left
		left -= min(s.Len(), left)
		if slices.ContainsFunc(spans, s.overlaps) {
			overlaps++
		}
		spans = join(spans, s)
	}
	switch {
	case len(spans) == 0:
		return nil, false
	case repeats || overlaps > maxOverlaps:
		return nil, true
	}
	return spans, true
}

// of is the range in a body of size bytes. size is positive.
func (r rangeSpec) of(size int64) (Span, bool) {
	if r.suffix >= 0 {
		return Span{max(size-r.suffix, 0), size - 1}, r.suffix > 0
	}
	return Span{r.first, min(r.last, size-1)}, r.first < size
}

func (s Span) overlaps(x Span) bool { return s.First <= x.Last && x.First <= s.Last }

// near reports whether a part of its own would cost more than the bytes between the two spans.
func (s Span) near(x Span) bool {
	return s.First-x.Last <= partOverhead && x.First-s.Last <= partOverhead
}

// join adds a span to spans. Spans that are near it become one with it, in the place of the first of them.
func join(spans []Span, s Span) []Span {
	i := slices.IndexFunc(spans, s.near)
	if i < 0 {
		return append(spans, s)
	}
	s = Span{min(s.First, spans[i].First), max(s.Last, spans[i].Last)}
	spans[i] = s
	// The larger span may be near others that follow.
	for j := i + 1; j < len(spans); {
		if !s.near(spans[j]) {
			j++
			continue
		}
		s = Span{min(s.First, spans[j].First), max(s.Last, spans[j].Last)}
		spans[i] = s
		spans = slices.Delete(spans, j, j+1)
		j = i + 1
	}
	return spans
}

// Wholly applies the ranges to a body of size bytes of which the cache has only some stretches. ok is false unless
// every requested byte is there (RFC 9111 §3.3). Ranges that cannot be satisfied, or whose answer is the whole, are not
// answered from parts.
func (r Ranges) Wholly(size int64, have []Span) (spans []Span, ok bool) {
	spans, satisfiable := r.Select(size)
	if !satisfiable || len(spans) == 0 {
		return nil, false
	}
	for _, s := range spans {
		if !slices.ContainsFunc(have, func(h Span) bool { return h.contains(s) }) {
			return nil, false
		}
	}
	return spans, true
}
