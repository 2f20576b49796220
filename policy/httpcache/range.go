package httpcache

import (
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

const (
	// maxRanges is how many ranges one request may ask for. More is a broken client, or an attack on whoever has to put
	// the answer together (RFC 9110 §14.2, §17.15).
	maxRanges = 64
	// maxOverlaps is how many of them may repeat what others ask for (§14.2: "more than two overlapping ranges").
	maxOverlaps = 2
	// partOverhead is what a part of a multipart answer takes besides its bytes: a gap that is smaller costs less than
	// a part of its own (§15.3.7.2).
	partOverhead = 80
)

// Ranges is what a Range field asks for (RFC 9110 §14.1.2), in its order. Empty: the whole.
type Ranges []rangeSpec

// rangeSpec is one range-spec; positions beyond the largest integer are that integer.
type rangeSpec struct {
	first, last int64 // of an int-range; last is math.MaxInt64 where it is open
	suffix      int64 // of a suffix-range: how many of the last bytes; -1: it is an int-range
}

// Span is a stretch of a body. Both ends belong to it.
type Span struct{ First, Last int64 }

// Len is the number of bytes, at least one.
func (s Span) Len() int64 { return s.Last - s.First + 1 }

// contains reports whether all of x is in s.
func (s Span) contains(x Span) bool { return s.First <= x.First && x.Last <= s.Last }

// ForeignRange reports whether a Range field is in another unit than bytes, or in none. A proxy may ignore such a field (RFC 9110 §14.2),
// but only the origin knows the unit: an API that counts in pages or items must not be answered for with the whole.
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

// ParseRanges reads the Range field of a request. What has no range handling is ignored: other methods than GET, other
// units than bytes, fields that do not follow the grammar, and too many ranges (RFC 9110 §14.2).
func ParseRanges(method string, req http.Header) Ranges {
	lines := req["Range"]
	if method != http.MethodGet || len(lines) != 1 { // the field is not a list over lines
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
	n, _ := strconv.ParseInt(s, 10, 64) // out of its range: math.MaxInt64
	return n, true
}

// Select is what the ranges are of a body of size bytes, in the order in which they were asked for (RFC 9110 §15.3.7.2).
// Ranges that overlap or almost touch are one span. No spans: the whole is the answer, as for an empty body, of which Content-Range
// could name no part, and where the ranges repeat each other too much. ok is false when the request is to be answered with 416: no range
// has a byte of the body (§15.5.17).
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

// of is the range in a body of size bytes, which are not none.
func (r rangeSpec) of(size int64) (Span, bool) {
	if r.suffix >= 0 {
		return Span{max(size-r.suffix, 0), size - 1}, r.suffix > 0
	}
	return Span{r.first, min(r.last, size-1)}, r.first < size
}

func (s Span) overlaps(x Span) bool { return s.First <= x.Last && x.First <= s.Last }

// near reports whether a part of its own would cost more than the bytes between the two.
func (s Span) near(x Span) bool {
	return s.First-x.Last <= partOverhead && x.First-s.Last <= partOverhead
}

// join adds a span, as one with those that it is near, in the place of the first of these.
func join(spans []Span, s Span) []Span {
	i := slices.IndexFunc(spans, s.near)
	if i < 0 {
		return append(spans, s)
	}
	s = Span{min(s.First, spans[i].First), max(s.Last, spans[i].Last)}
	spans[i] = s
	// It may have come near others that follow.
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

// Wholly is what the ranges are of a body of size bytes of which only some stretches are at hand. ok is false unless
// every byte asked for is there (RFC 9111 §3.3); ranges that cannot be satisfied, or are answered with the whole, are
// not answered from parts.
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
