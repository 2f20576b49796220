package policy

import (
	"net/http"
	"slices"
	"strings"
)

// HeadContradicts reports whether the 200 to a HEAD is about another representation than the copy with this header: what
// both say to identify it differs (RFC 9111 §4.3.5).
func HeadContradicts(stored, head http.Header) bool {
	for _, name := range [...]string{"Etag", "Last-Modified", "Content-Length", "Content-Encoding"} {
		a, b := stored[name], head[name]
		if len(a) > 0 && len(b) > 0 && combined(a) != combined(b) {
			return true
		}
	}
	return false
}

// HeadConfirms reports whether the 200 to a HEAD, which contradicts nothing, is about the copy: it has the copy's validator.
// Without one, RFC 9111 §4.3.5 would have the copy renewed as well; but then nobody knows that its bytes are still right.
func HeadConfirms(stored, head http.Header) bool {
	return hasValidator(head) && ConfirmsStored(stored, head)
}

// AsksAsFill reports whether the client's own request, sent through, asks what a fill would ask: only then is the answer
// one for everybody. selected are the fields that Vary is known to name. Fields that are known not to matter may differ; one
// that Connection takes out of what is sent on may be part of the key all the same.
func (r *Route) AsksAsFill(client http.Header, selected []string) bool {
	fill := r.FillHeader(client, selected)
	for name, lines := range client {
		switch {
		case name == "Connection":
			if !slices.ContainsFunc(lines, namesFields) {
				continue
			}
			return false
		case Neutral(name) && len(fill[name]) == 0, r.ignores(name):
		case name == acceptEncoding && !r.declares(acceptEncoding):
			if combined(fill[name]) != ParseAcceptEncoding(lines).Canonical() {
				return false
			}
		case combined(fill[name]) != combined(lines) || len(fill[name]) == 0:
			return false
		}
	}
	return true
}

// namesFields reports whether a line of Connection has more than the options that are about the connection itself.
func namesFields(line string) bool {
	for option := range strings.SplitSeq(line, ",") {
		switch strings.ToLower(trimOWS(option)) {
		case "", "close", "keep-alive", "te", "upgrade":
		default:
			return true
		}
	}
	return false
}
