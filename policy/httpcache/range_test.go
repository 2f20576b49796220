package httpcache

import (
	"math"
	"reflect"
	"strings"
	"testing"
)

func TestRanges(t *testing.T) {
	many := "bytes=0-0" + strings.Repeat(",500-500", maxRanges)
	tests := []struct {
		about string
		field string
		size  int64
		spans []Span
		ok    bool
	}{
		{"int-range (RFC 9110 §14.1.2)", "bytes=0-1", 10, []Span{{0, 1}}, true},
		{"one byte", "bytes=0-0", 10, []Span{{0, 0}}, true},
		{"open end", "bytes=3-", 10, []Span{{3, 9}}, true},
		{"suffix", "bytes=-3", 10, []Span{{7, 9}}, true},
		{"suffix longer than the body is all of it", "bytes=-30", 10, []Span{{0, 9}}, true},
		{"an end beyond the body is its end", "bytes=8-30", 10, []Span{{8, 9}}, true},
		{"an end beyond all numbers", "bytes=8-99999999999999999999999", 10, []Span{{8, 9}}, true},
		{"all of it is a part as well", "bytes=0-", 10, []Span{{0, 9}}, true},
		{"the unit in any case (§14.1)", "Bytes=0-1", 10, []Span{{0, 1}}, true},
		{"space around elements, and empty ones (§5.6.1.2)", "bytes= ,0-1 ,\t,", 10, []Span{{0, 1}}, true},

		{"beyond the end (§15.5.17)", "bytes=10-", 10, nil, false},
		{"beyond all numbers", "bytes=99999999999999999999999-", math.MaxInt64, nil, false},
		{"a suffix of nothing", "bytes=-0", 10, nil, false},
		{"only what is satisfiable counts", "bytes=20-30,0-1,-0", 10, []Span{{0, 1}}, true},
		{"nothing of nothing is the whole", "bytes=0-", 0, nil, true},

		{"several, in the order asked (§15.3.7.2)", "bytes=900-909,0-9", 1000, []Span{{900, 909}, {0, 9}}, true},
		{"overlapping ones are one", "bytes=0-99,50-149", 1000, []Span{{0, 149}}, true},
		{"touching ones are one", "bytes=0-9,10-19", 1000, []Span{{0, 19}}, true},
		{"a gap smaller than what a part costs", "bytes=0-9,89-99", 1000, []Span{{0, 99}}, true},
		{"a gap that is worth it", "bytes=0-9,90-99", 1000, []Span{{0, 9}, {90, 99}}, true},
		{"one that joins two others", "bytes=500-509,300-309,310-499", 1000, []Span{{300, 509}}, true},
		{"one that joins those behind it", "bytes=0-9,200-209,400-409,100-330", 1000, []Span{{0, 9}, {100, 409}}, true},

		{"more bytes than the body has (§17.15)", "bytes=0-,0-", 10, nil, true},
		{"many that overlap (§14.2)", "bytes=0-9,5-6,5-6,5-6", 1000, nil, true},
		{"many", many, 1000, nil, true},

		{"no range at all is ignored (§14.2)", "bytes=", 10, nil, true},
		{"only commas", "bytes=, ,", 10, nil, true},
		{"last before first makes the set invalid (§14.1.1)", "bytes=0-1,5-4", 10, nil, true},
		{"no dash", "bytes=5", 10, nil, true},
		{"only a dash", "bytes=-", 10, nil, true},
		{"sign", "bytes=+1-2", 10, nil, true},
		{"two dashes", "bytes=1-2-3", 10, nil, true},
		{"space inside", "bytes=1 - 2", 10, nil, true},
		{"space before the equals sign", "bytes =0-1", 10, nil, true},
		{"another unit (§14.2)", "items=0-1", 10, nil, true},
		{"no unit", "0-1", 10, nil, true},
		{"other digits", "bytes=٠-١", 10, nil, true},
	}
	for _, tt := range tests {
		spans, ok := ParseRanges("GET", header("Range: "+tt.field)).Select(tt.size)
		if ok != tt.ok || len(spans) != len(tt.spans) || len(spans) > 0 && !reflect.DeepEqual(spans, tt.spans) {
			t.Errorf("%s: %q of %d: %v, %v; want %v, %v", tt.about, tt.field, tt.size, spans, ok, tt.spans, tt.ok)
		}
	}
	if ParseRanges("HEAD", header("Range: bytes=0-1")) != nil {
		t.Error("a HEAD has a range (§14.2)")
	}
	if ParseRanges("GET", header("Range: bytes=0-1", "Range: bytes=0-1")) != nil {
		t.Error("two fields are one range")
	}
}

func TestForeignRange(t *testing.T) {
	for field, want := range map[string]bool{
		"bytes=0-1": false, "BYTES=x": false, "items=0-1": true, "0-1": true, "": true, "bytes": true, "none": true, " bytes=0-1": false,
	} {
		if got := ForeignRange(header("Range: " + field)); got != want {
			t.Errorf("%q: %v", field, got)
		}
	}
	if ForeignRange(header()) || !ForeignRange(header("Range: bytes=0-1", "Range: items=0-1")) {
		t.Error("no field, or one of two")
	}
}

func TestWholly(t *testing.T) {
	have := []Span{{10, 19}, {30, 39}}
	tests := []struct {
		about, field string
		ok           bool
	}{
		{"inside (RFC 9111 §3.3)", "bytes=12-15", true},
		{"all of one", "bytes=30-", true},
		{"begins before", "bytes=9-15", false},
		{"ends after", "bytes=12-20", false},
		{"over the gap", "bytes=15-35", false},
		{"joined over the gap", "bytes=12-13,32-33", false},
		{"not satisfiable: another part may have come since", "bytes=40-", false},
		{"the whole", "", false},
	}
	for _, tt := range tests {
		if spans, ok := ParseRanges("GET", header("Range: "+tt.field)).Wholly(40, have); ok != tt.ok {
			t.Errorf("%s: %v, %v", tt.about, spans, ok)
		}
	}
}

// FuzzRanges holds that whatever is asked for, what is answered lies within the body and is not larger than it.
func FuzzRanges(f *testing.F) {
	for _, seed := range []string{"bytes=0-1", "bytes=-5,3-", "bytes=0-0,100-200,300-400", "bytes=9223372036854775807-", "bytes=-9223372036854775808", "bytes=,,1-", "items=0-1"} {
		f.Add(seed, int64(1000))
		f.Add(seed, int64(math.MaxInt64))
	}
	f.Fuzz(func(t *testing.T, field string, size int64) {
		size = max(size, 0)
		ranges := ParseRanges("GET", header("Range: "+field))
		spans, ok := ranges.Select(size)
		if !ok && (len(ranges) == 0 || size == 0 || len(spans) > 0) {
			t.Fatalf("%q of %d: not satisfiable", field, size)
		}
		if len(spans) > maxRanges {
			t.Fatalf("%q: %d parts", field, len(spans))
		}
		left := size
		for i, s := range spans {
			if s.First < 0 || s.First > s.Last || s.Last >= size {
				t.Fatalf("%q of %d: %v", field, size, s)
			}
			left -= s.Len()
			for _, x := range spans[:i] {
				if s.near(x) {
					t.Fatalf("%q of %d: %v and %v are apart", field, size, x, s)
				}
			}
		}
		if left < 0 {
			t.Fatalf("%q of %d: more bytes than there are: %v", field, size, spans)
		}
	})
}
