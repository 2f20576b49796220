package observe

import (
	"bytes"
	"encoding/json"
	"io"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"cacheproxy/policy"
)

// draws gives numbers one after another, over and over.
func draws(numbers ...float64) func() float64 {
	i := 0
	return func() float64 {
		i++
		return numbers[(i-1)%len(numbers)]
	}
}

func newLog(t *testing.T, o AccessLogOptions) *AccessLog {
	t.Helper()
	l, err := NewAccessLog(o)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

var full = Record{
	Time: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Method: "GET", Host: "shop.example", Path: "/a%2Fb", Query: "page=2&mail=a@b&tok",
	Status: 200, Bytes: 512, Duration: 12345 * time.Microsecond, Route: "product", Outcome: policy.Miss, Reason: policy.URIMiss,
	Key: "v2:product:17", Origin: 10 * time.Millisecond, Client: "10.0.0.9", RequestID: "r-1\nx", OriginID: "r-2",
	Protocol: "HTTP/1.1", Cache: "cacheproxy; fwd=uri-miss", Upstream: "shop", Address: "10.0.0.7:9000", UserAgent: strings.Repeat("u", 2000), TraceID: "t-1", Aborted: true, WriteID: "w-1",
}

func TestAccessLogLine(t *testing.T) {
	var out bytes.Buffer
	l := newLog(t, AccessLogOptions{Format: "json", Hits: 1, Others: 1, Output: &out})
	l.Log(&full)
	var got map[string]any
	if err := json.Unmarshal(out.Bytes(), &got); err != nil {
		t.Fatalf("%v: %s", err, &out)
	}
	want := map[string]any{
		"time": "2026-01-02T03:04:05Z", "level": "INFO", "msg": "request", "method": "GET", "host": "shop.example", "path": "/a%2Fb",
		"query": "page,mail,…", "status": 200.0, "bytes": 512.0, "duration_ms": 12.345, "route": "product", "outcome": "miss",
		"reason": "uri-miss", "key": "v2:product:17", "origin_ms": 10.0, "client": "10.0.0.9", "request_id": "r-1\nx",
		"origin_request_id": "r-2", "protocol": "HTTP/1.1", "cache_status": "cacheproxy; fwd=uri-miss", "upstream": "shop", "upstream_address": "10.0.0.7:9000",
		"user_agent": strings.Repeat("u", maxField) + "…", "trace_id": "t-1", "aborted": true, "write": "w-1",
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %v\nwant %v", got, want)
	}
	if strings.Count(out.String(), "\n") != 1 {
		t.Errorf("a client can begin lines of its own: %q", &out)
	}

	out.Reset()
	l = newLog(t, AccessLogOptions{Format: "text", Hits: 1, Others: 1, Output: &out})
	l.Log(&Record{Time: full.Time, Method: "GET", Path: "/", Outcome: policy.Hit})
	const line = `time=2026-01-02T03:04:05.000Z level=INFO msg=request method=GET host="" path=/ status=0 bytes=0 duration_ms=0 route="" outcome=hit` + "\n"
	if out.String() != line {
		t.Errorf("got %q\nwant %q", &out, line)
	}
}

func TestAccessLogSamples(t *testing.T) {
	for _, c := range []struct {
		name         string
		format       string
		hits, others float64
		draws        []float64
		outcomes     []policy.Outcome
		written      int
	}{
		{"all", "json", 1, 1, []float64{.999}, policy.Outcomes(), len(policy.Outcomes())},
		{"errors are always written", "json", 0, 0, []float64{0}, policy.Outcomes(), 2},
		{"off", "off", 1, 1, []float64{0}, policy.Outcomes(), 0},
		{"misses only", "text", 0, 1, []float64{0}, []policy.Outcome{policy.Hit, policy.Stale, policy.Miss}, 1},
		{"what would have been a hit is logged like one", "json", 1, 0, []float64{0}, []policy.Outcome{policy.WouldHit, policy.WouldDiffer, policy.WouldMiss}, 1},
		{"and not like what is left", "json", 0, 1, []float64{0}, []policy.Outcome{policy.WouldHit, policy.WouldDiffer, policy.WouldMiss}, 2},
		{"hits only", "text", 1, 0, []float64{0}, []policy.Outcome{policy.Hit, policy.Stale, policy.Miss}, 2},
		{"half", "json", .5, 0, []float64{.49, .5}, []policy.Outcome{policy.Hit, policy.Hit, policy.Hit, policy.Hit}, 2},
	} {
		var out bytes.Buffer
		l := newLog(t, AccessLogOptions{Format: c.format, Hits: c.hits, Others: c.others, Output: &out, Sample: draws(c.draws...)})
		for _, o := range c.outcomes {
			l.Log(&Record{Outcome: o})
		}
		if got := strings.Count(out.String(), "\n"); got != c.written {
			t.Errorf("%s: %d lines, want %d", c.name, got, c.written)
		}
	}
}

// What an operator looks for first is there however small the share is; nothing is when the log is off.
func TestAccessLogAlwaysHasErrors(t *testing.T) {
	for _, r := range []Record{
		{Status: 500, Outcome: policy.Miss}, {Status: 503, Outcome: policy.Hit}, {Status: 502, Outcome: policy.Pass},
		{Status: 200, Outcome: policy.Hit, Aborted: true}, {Status: 400, Outcome: policy.Failed}, {Status: 503, Outcome: policy.Shed},
	} {
		for format, want := range map[string]int{"json": 1, "off": 0} {
			var out bytes.Buffer
			newLog(t, AccessLogOptions{Format: format, Output: &out}).Log(&r)
			if got := strings.Count(out.String(), "\n"); got != want {
				t.Errorf("%+v with format %s: %d lines, want %d", r, format, got, want)
			}
		}
	}
}

func TestAccessLogOptions(t *testing.T) {
	for _, o := range []AccessLogOptions{
		{Format: "xml"}, {},
	} {
		if _, err := NewAccessLog(o); err == nil {
			t.Errorf("%+v is accepted", o)
		}
	}
	newLog(t, AccessLogOptions{Format: "off"}).Write(&full) // writes nothing, to nowhere
}

func TestAccessLogDoesNotAllocate(t *testing.T) {
	for _, o := range []AccessLogOptions{
		{Format: "json", Others: 1, Output: io.Discard},
		{Format: "json", Hits: .5, Output: io.Discard, Sample: func() float64 { return .9 }},
		{Format: "off"},
	} {
		l, r := newLog(t, o), full
		r.Outcome, r.Aborted = policy.Hit, false
		if n := testing.AllocsPerRun(100, func() { l.Log(&r) }); n != 0 {
			t.Errorf("%+v: %v allocations", o, n)
		}
	}
}

// Random sampling must not depend on a lock or an allocation either.
func BenchmarkNotSampled(b *testing.B) {
	l, err := NewAccessLog(AccessLogOptions{Format: "json", Hits: 1e-9, Others: 1, Output: io.Discard})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		l.Log(&Record{Outcome: policy.Hit})
	}
}

func FuzzParameterNames(f *testing.F) {
	for _, seed := range []string{"", "a=1", "a=1&b", "&&", "=x", "a=b=c"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, query string) {
		got := parameterNames(query)
		if slices.Contains([]byte(got), '=') || query != "" && strings.Count(got, ",") < strings.Count(query, "&") {
			t.Fatalf("%q became %q", query, got)
		}
	})
}

// Every field has its name in the conventions, but for those that every line has.
func TestConventionalNames(t *testing.T) {
	r := full
	r.Host = "shop.example:8080"
	r.Unlisted, r.UnlistedKind = "X-A", KindHeader
	line := func(otel bool) map[string]any {
		var out bytes.Buffer
		newLog(t, AccessLogOptions{Format: "json", OTel: otel, Hits: 1, Others: 1, Output: &out}).Log(&r)
		var got map[string]any
		if err := json.Unmarshal(out.Bytes(), &got); err != nil {
			t.Fatal(err)
		}
		return got
	}
	short, got := line(false), line(true)
	for name := range short {
		other, known := conventional[name]
		if !known {
			other = "cacheproxy." + name
		}
		if _, there := got[other]; !there {
			t.Errorf("%s is not there as %s: %v", name, other, got)
		}
	}
	if len(got) != len(short) || got["http.response.status_code"] != 200.0 || got["server.address"] != "shop.example" || got["network.protocol.version"] != "1.1" {
		t.Errorf("got %v", got)
	}
}
