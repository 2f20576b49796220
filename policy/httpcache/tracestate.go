package httpcache

import (
	"net/http"
	"slices"
	"strings"
)

const (
	// longestTrace bounds the value of a trace field in a request that is made for several clients, in bytes: the part
	// of tracestate that every hop should pass on (W3C Trace Context §3.3.1.5).
	longestTrace = 512
	// longestTraces bounds all trace fields but traceparent and tracestate together, names included, in bytes. Some of
	// them are families, of which a client can make up any number of names.
	longestTraces = 2048
	// longestMember is the length above which a member of tracestate is removed before others (§3.3.1.5).
	longestMember = 128
	// maxMembers bounds the members of tracestate (§3.3.1.1).
	maxMembers = 32
)

// boundTrace removes malformed trace fields from a header, and all that could make an origin refuse a request for its
// length. No answer depends on trace fields, and requests that differ in nothing else share one answer, so these fields
// must not decide whether the requests get an answer. A malformed traceparent goes, and tracestate with it. A malformed
// tracestate goes alone; one that is too long is cut to whole members. A field of another tracing system goes where it
// is too long. The remaining lines are unchanged.
func boundTrace(h http.Header) {
	if TraceID(h) == "" || len(h["Traceparent"][0]) > longestTrace {
		delete(h, "Traceparent")
		delete(h, "Tracestate")
	}
	if lines := h["Tracestate"]; len(lines) > 0 {
		switch whole := strings.Join(lines, ","); {
		case !validTracestate(whole):
			delete(h, "Tracestate")
		case len(whole) > longestTrace, len(lines) > maxMembers:
			h["Tracestate"] = []string{cutTracestate(whole)}
		}
	}
	var others []string
	for name := range h {
		if IsTrace(name) && name != "Traceparent" && name != "Tracestate" {
			others = append(others, name)
		}
	}
	slices.Sort(others) // each request keeps the same ones
	left := longestTraces
	for _, name := range others {
		lines, size := h[name], 0
		for _, line := range lines {
			size += len(line)
		}
		whole := size + len(lines)*len(name)
		if size > longestTrace || whole > left {
			delete(h, name)
			continue
		}
		left -= whole
	}
}

// tracestateMembers are the list-members of a tracestate, without empty ones (§3.3.1.1).
func tracestateMembers(s string) (members []string) {
	for m := range strings.SplitSeq(s, ",") {
		if m = strings.Trim(m, " \t"); m != "" {
			members = append(members, m)
		}
	}
	return members
}

func validTracestate(s string) bool {
	members := tracestateMembers(s)
	for i, m := range members {
		key, value, _ := strings.Cut(m, "=")
		again := func(other string) bool { return strings.HasPrefix(other, key+"=") }
		if !validTracestateKey(key) || !validTracestateValue(value) || slices.ContainsFunc(members[:i], again) {
			return false
		}
		if i == maxMembers {
			return false
		}
	}
	return len(members) > 0
}

// validTracestateKey reports whether a key is well-formed (§3.3.1.3.1). The key of a multi-tenant system has the tenant
// before an "@".
func validTracestateKey(key string) bool {
	return key != "" && len(key) <= 256 && tracestateBytes.all(key) && (digitBytes[key[0]] || key[0] >= 'a')
}

// validTracestateValue reports whether a value is well-formed (§3.3.1.3.2).
func validTracestateValue(value string) bool {
	for i := range len(value) {
		if c := value[i]; c < ' ' || c > '~' || c == '=' {
			return false
		}
	}
	return value != "" && len(value) <= 256 // tracestateMembers has trimmed the value
}

// cutTracestate removes whole members until the rest fits: first the long members, then the others, each from the end
// (§3.3.1.5).
func cutTracestate(s string) string {
	members := tracestateMembers(s)
	size := len(members) - 1
	for _, m := range members {
		size += len(m)
	}
	for _, least := range []int{longestMember + 1, 0} {
		for i := len(members) - 1; i >= 0 && size > longestTrace; i-- {
			if len(members[i]) >= least {
				size -= len(members[i]) + 1
				members = slices.Delete(members, i, i+1)
			}
		}
	}
	return strings.Join(members, ",")
}
