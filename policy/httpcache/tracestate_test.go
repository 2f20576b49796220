package httpcache

import (
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"
)

const aTrace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

// members are members of tracestate, each of that length.
func members(first, many, length int) string {
	var all []string
	for i := range many {
		key := fmt.Sprintf("k%d=", first+i)
		all = append(all, key+strings.Repeat("x", length-len(key)))
	}
	return strings.Join(all, ",")
}

// What is passed on of a tracestate in a request for several (W3C Trace Context §3.3.1).
func TestTracestateIsBounded(t *testing.T) {
	long := "long=" + strings.Repeat("x", 124) // 129 characters
	for _, c := range []struct {
		about string
		lines []string
		want  []string
	}{
		{"as it came", []string{"a=1,  b=2"}, []string{"a=1,  b=2"}},
		{"lines as they came", []string{"a=1", "b=2,,"}, []string{"a=1", "b=2,,"}},
		{"tenants (§3.3.1.3.1)", []string{"fw529a3039@dt=FfxAbc, 0-*/_=~!{ }"}, []string{"fw529a3039@dt=FfxAbc, 0-*/_=~!{ }"}},
		{"515 characters", []string{members(0, 4, 128)}, []string{members(0, 3, 128)}},
		{"511", []string{members(10, 8, 63)}, []string{members(10, 8, 63)}},
		{"whole members, from the end (§3.3.1.5)", []string{members(10, 20, 50)}, []string{members(10, 10, 50)}},
		{"spaces count for nothing where it is cut", []string{members(10, 9, 50), strings.Repeat(" ", 100) + "z=1"}, []string{members(10, 9, 50) + ",z=1"}},
		{"lines, which cost as much as members", append(slices.Repeat([]string{""}, 100), "z=1"), []string{"z=1"}},
		{"long ones first", []string{long, members(10, 10, 48), "z=1"}, []string{members(10, 10, 48) + ",z=1"}},
		{"of several long ones, the last", []string{long, "b" + long, members(10, 7, 46)}, []string{long + "," + members(10, 7, 46)}},
		{"32 members", []string{members(10, 32, 5)}, []string{members(10, 32, 5)}},
		{"33 (§3.3.1.1)", []string{members(10, 33, 5)}, nil},
		{"no value", []string{"a=1,b"}, nil},
		{"an empty one", []string{"a="}, nil},
		{"two of =", []string{"a=b=c"}, nil},
		{"upper case in a key", []string{"A=1"}, nil},
		{"a key that begins otherwise", []string{"_a=1"}, nil},
		{"no key", []string{"=1"}, nil},
		{"a key twice", []string{"a=1,b=2,a=3"}, nil},
		{"not ASCII", []string{"a=\xff"}, nil},
		{"too long a key", []string{strings.Repeat("a", 257) + "=1"}, nil},
		{"too long a value", []string{"a=" + strings.Repeat("1", 257)}, nil},
		{"60 kB", []string{strings.Repeat("a", 60000)}, nil},
		{"empty", []string{""}, nil},
	} {
		h := http.Header{"Traceparent": {aTrace}, "Tracestate": c.lines}
		if boundTrace(h); !slices.Equal(h["Tracestate"], c.want) || h.Get("Traceparent") != aTrace {
			t.Errorf("%s: %q, want %q", c.about, h["Tracestate"], c.want)
		}
		if again := h.Clone(); len(Combined(h["Tracestate"])) > 512 {
			t.Errorf("%s: %d characters", c.about, len(Combined(h["Tracestate"])))
		} else if len(h["Tracestate"]) > 32 {
			t.Errorf("%s: %d lines", c.about, len(h["Tracestate"]))
		} else if boundTrace(again); !reflect.DeepEqual(again, h) {
			t.Errorf("%s: bounded once more it is %v", c.about, again)
		}
	}
}

// Whatever a client says of traces, in as many fields as it likes, is no more than a few kilobytes of a request for several.
func TestTracesAreBounded(t *testing.T) {
	many := http.Header{"Accept": {strings.Repeat("a", 5000)}, "Traceparent": {aTrace}, "Tracestate": {members(10, 20, 200)}}
	for name := range traces {
		if name != "Traceparent" && name != "Tracestate" {
			many[name] = []string{strings.Repeat("x", 512)}
		}
	}
	for i := range 1000 {
		for _, family := range []string{"X-B3-", "X-Datadog-", "X-Instana-", "Ot-Tracer-"} {
			many[fmt.Sprint(family, i)] = []string{"1"}
		}
	}
	for _, c := range []struct {
		about     string
		from, and http.Header
	}{
		{"as it came", http.Header{"B3": {strings.Repeat("1", 512)}, "Baggage": {"a=1", "b=2"}}, http.Header{"B3": {strings.Repeat("1", 512)}, "Baggage": {"a=1", "b=2"}}},
		{"empty lines", http.Header{"B3": slices.Repeat([]string{""}, 2000)}, http.Header{}},
		{"too long", http.Header{"B3": {strings.Repeat("1", 513)}, "Baggage": {"a=1"}}, http.Header{"Baggage": {"a=1"}}},
		{"in lines", http.Header{"Baggage": {strings.Repeat("1", 300), strings.Repeat("1", 300)}, "Accept": {"a"}}, http.Header{"Accept": {"a"}}},
		{"a later version may say more (§3.2.4), and not as much as it likes", http.Header{"Traceparent": {"01" + aTrace[2:] + "-" + strings.Repeat("x", 500)}, "Tracestate": {"a=1"}}, http.Header{}},
		{"no trace", http.Header{"Tracestate": {"a=1"}, "Traceparent": {"00-0"}}, http.Header{}},
	} {
		if boundTrace(c.from); !reflect.DeepEqual(c.from, c.and) {
			t.Errorf("%s: %v, want %v", c.about, c.from, c.and)
		}
	}
	boundTrace(many)
	size := 0
	for name, lines := range many {
		if IsTrace(name) {
			size += len(name) + len(Combined(lines))
		}
	}
	if size > 3<<10 || len(many["Accept"][0]) != 5000 || many["Tracestate"] == nil {
		t.Errorf("%d bytes of traces", size)
	}
}
