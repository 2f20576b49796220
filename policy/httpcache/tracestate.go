package httpcache

import (
	"net/http"
	"slices"
	"strings"
)

const (
	// longestTrace is how long the value of a field that tells of a trace may be in a request that is made for several, in bytes: as much
	// of tracestate as everybody on the way is to pass on (W3C Trace Context §3.3.1.5).
	longestTrace = 512
	// longestTraces is how long all of them but traceparent and tracestate may be together, names included: some are families, of which
	// a client can make up as many as it likes.
	longestTraces = 2048
	// longestMember is from which length on a member of tracestate goes before others where it has to be cut (§3.3.1.5).
	longestMember = 128
	// maxMembers is how many members tracestate may have (§3.3.1.1).
	maxMembers = 32
)

// boundTrace takes out of a header what says nothing of a trace that can be read, and all that could make an origin refuse a request for
// its length. No answer depends on it and requests that differ in nothing else are answered together, so that it must not decide
// whether there is an answer: a traceparent that cannot be read goes, and with it tracestate, which goes alone where that cannot be read,
// and is cut to whole members else; what other systems of tracing say goes where it is longer than that. The lines that stay are what they were.
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
	slices.Sort(others) // the same of them stay each time
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

// tracestateMembers are the list-members of a tracestate, of which empty ones do not count (§3.3.1.1).
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

// validTracestateKey reports whether a key is one (§3.3.1.3.1). That of a system with several tenants has their name before an "@".
func validTracestateKey(key string) bool {
	return key != "" && len(key) <= 256 && tracestateBytes.all(key) && (digitBytes[key[0]] || key[0] >= 'a')
}

// validTracestateValue reports whether a value is one (§3.3.1.3.2).
func validTracestateValue(value string) bool {
	for i := range len(value) {
		if c := value[i]; c < ' ' || c > '~' || c == '=' {
			return false
		}
	}
	return value != "" && len(value) <= 256 // which was trimmed
}

// cutTracestate leaves as many whole members as fit: those that are long go first, and both kinds from the end (§3.3.1.5).
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
