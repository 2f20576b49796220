package observe

import (
	"bytes"
	"io"
	"math"
	"testing"
	"time"

	"cacheproxy/policy"
)

// bothLines is the line of a record as it is written, and as slog writes it. plain says whether slog was spared the first.
func bothLines(t testing.TB, r Record) (written, slogs string, plain bool) {
	t.Helper()
	var out, reference bytes.Buffer
	for _, to := range []*bytes.Buffer{&out, &reference} {
		l, err := NewAccessLog(AccessLogOptions{Format: "json", Hits: 1, Others: 1, Output: to})
		if err != nil {
			t.Fatal(err)
		}
		if to == &reference {
			l.plain = nil
		}
		l.Write(&r)
	}
	var room [mostFields]byte
	_, plain = appendPlain(room[:0], r.Time, r.appendTo(nil))
	return out.String(), reference.String(), plain
}

func TestPlainLinesAreThoseOfSlog(t *testing.T) {
	usual := full
	usual.UserAgent, usual.RequestID, usual.Query = "curl/8.5.0 (x; y)", "r-1", "page=2"
	for _, c := range []struct {
		name   string
		change func(*Record)
		plain  bool
	}{
		{"usual", func(*Record) {}, true},
		{"nothing but what is always there", func(r *Record) { *r = Record{Time: r.Time} }, true},
		{"every field", func(r *Record) { r.Unlisted, r.UnlistedKind = "X-A,X-B", KindHeader }, true},
		{"in a zone, with nanoseconds", func(r *Record) {
			r.Time = time.Date(2026, 7, 8, 9, 10, 11, 123456000, time.FixedZone("", 2*60*60))
		}, true},
		{"with the monotonic clock", func(r *Record) { r.Time = time.Now() }, true},
		{"numbers", func(r *Record) {
			r.Bytes, r.Duration, r.Origin = math.MaxInt64, time.Microsecond, math.MaxInt64
		}, true},
		{"backwards", func(r *Record) { r.Duration = -time.Millisecond }, false},
		{"a quote", func(r *Record) { r.UserAgent = `a"b` }, false},
		{"a backslash", func(r *Record) { r.Path = `/a\b` }, false},
		{"a line of its own", func(r *Record) { r.RequestID = "r\n{" }, false},
		{"more than ASCII", func(r *Record) { r.Path = "/é" }, false},
		{"no UTF-8", func(r *Record) { r.Path = "/\xff\x7f" }, false},
		{"what HTML would escape", func(r *Record) { r.Path = "/<>&'" }, true},
		{"cut short", func(r *Record) { r.UserAgent = full.UserAgent }, false},
		{"at no time", func(r *Record) { r.Time = time.Time{} }, false},
		{"in no year", func(r *Record) { r.Time = time.Date(12345, 1, 2, 3, 4, 5, 6, time.UTC) }, false},
	} {
		r := usual
		c.change(&r)
		written, slogs, plain := bothLines(t, r)
		if written != slogs || plain != c.plain || written == "" {
			t.Errorf("%s: plain is %t, want %t; the line is\n%s\nslog's is\n%s", c.name, plain, c.plain, written, slogs)
		}
	}
}

// A line has room for every field: more would be one allocation for each line.
func TestMostFields(t *testing.T) {
	r := full
	r.Unlisted, r.UnlistedKind = "X-A", KindHeader
	if n := len(r.appendTo(nil)); n > mostFields {
		t.Errorf("%d fields", n)
	}
}

func FuzzPlainLines(f *testing.F) {
	f.Add("/a", "x=1", "curl", int64(1), int64(2), int64(3))
	f.Add("/\"", "\\", "\u2028", int64(-1), int64(0), int64(math.MaxInt64))
	f.Fuzz(func(t *testing.T, path, query, agent string, ns, took, origin int64) {
		r := Record{Time: time.Unix(0, ns), Method: "GET", Path: path, Query: query, UserAgent: agent, Duration: time.Duration(took), Origin: time.Duration(origin), Outcome: policy.Miss}
		if written, slogs, _ := bothLines(t, r); written != slogs {
			t.Fatalf("the line is\n%s\nslog's is\n%s", written, slogs)
		}
	})
}

func BenchmarkLine(b *testing.B) {
	l, err := NewAccessLog(AccessLogOptions{Format: "json", Hits: 1, Others: 1, Output: io.Discard})
	if err != nil {
		b.Fatal(err)
	}
	r := full
	r.UserAgent, r.RequestID, r.Query = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0", "7d8f6a1c00004000a000000000000000", ""
	for _, of := range []string{"plain", "slog"} {
		b.Run(of, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				l.Write(&r)
			}
		})
		l.plain = nil
	}
}
