package httpcache

import (
	"net/http"
	"slices"
	"strings"
	"time"
)

// conditionals are the precondition fields (RFC 9110 §13.1). No shared fill has one: the answer must be whole, whatever
// the requesting client already has.
var conditionals = [...]string{"If-Match", "If-None-Match", "If-Modified-Since", "If-Unmodified-Since", "If-Range"}

// IsPrecondition reports whether a field, by its canonical name, is a precondition.
func IsPrecondition(name string) bool { return slices.Contains(conditionals[:], name) }

// Conditional reports whether the request asks for the response only if the response has changed. If it reports false,
// NotModified is false too.
func Conditional(req http.Header) bool {
	return len(req["If-None-Match"]) > 0 || len(req["If-Modified-Since"]) > 0
}

// StripConditional deletes every precondition from h.
func StripConditional(h http.Header) {
	for _, name := range conditionals {
		delete(h, name)
	}
}

// NotModified reports whether a request is to be answered with 304 instead of the copy (RFC 9111 §4.3.2). status and
// stored are the copy's; received is when the copy arrived. If-None-Match is compared weakly, and If-Modified-Since
// does not count beside If-None-Match (RFC 9110 §13.1.2, §13.1.3). If-Match and If-Unmodified-Since are for origins;
// see MeetsPreconditions. In case of doubt the client gets the full answer.
func NotModified(req http.Header, method string, status int, stored http.Header, received time.Time) bool {
	if status != http.StatusOK && status != http.StatusPartialContent || !conditionalMethod(method) {
		return false
	}
	if lines := req["If-None-Match"]; len(lines) > 0 {
		return matchesAny(lines, stored["Etag"])
	}
	lines := req["If-Modified-Since"]
	since, valid := headerTime(lines)
	if !valid || len(lines) > 1 {
		return false
	}
	changed, ok := headerTime(stored["Last-Modified"])
	if !ok {
		if changed, ok = headerTime(stored["Date"]); !ok {
			changed = received
		}
	}
	return !changed.After(since)
}

// conditionalMethod reports whether a method may be answered with 304: GET, HEAD, and QUERY, whose conditions are about
// its result (RFC 10008).
func conditionalMethod(method string) bool {
	return method == http.MethodGet || method == http.MethodHead || method == "QUERY"
}

// matchesAny reports whether an If-None-Match names the copy's ETag.
func matchesAny(lines, etag []string) bool {
	if len(lines) == 1 && TrimOWS(lines[0]) == "*" {
		return true
	}
	have, ok := storedTag(etag)
	if !ok {
		return false
	}
	if have.unreadable {
		return slices.Contains(slices.Collect(Elements(lines)), have.opaque)
	}
	return anyTag(lines, func(tag entityTag) bool { return tag.opaque == have.opaque })
}

// anyTag reports whether a member of a list of entity tags matches. A malformed list matches nothing.
func anyTag(lines []string, matches func(entityTag) bool) (match bool) {
	for _, line := range lines {
		for rest := strings.TrimLeft(line, " \t,"); rest != ""; rest = strings.TrimLeft(rest, " \t,") {
			tag, left, ok := cutEntityTag(rest)
			if !ok {
				return false
			}
			match, rest = match || matches(tag), left
		}
	}
	return match
}

// AddValidators makes a request revalidate the copy (RFC 9111 §4.3.1), in place of the client's preconditions. It
// reports whether the copy has a validator.
func AddValidators(h http.Header, stored http.Header) bool {
	StripConditional(h)
	if _, ok := storedTag(stored["Etag"]); ok {
		h["If-None-Match"] = []string{TrimOWS(stored["Etag"][0])}
	}
	if _, ok := headerTime(stored["Last-Modified"]); ok {
		h["If-Modified-Since"] = []string{TrimOWS(stored["Last-Modified"][0])}
	}
	return Conditional(h)
}

// HasValidator reports whether AddValidators would find a validator.
func HasValidator(h http.Header) bool {
	_, tag := storedTag(h["Etag"])
	_, date := headerTime(h["Last-Modified"])
	return tag || date
}

// describeContent are the fields about content that a 304 leaves out: the receiver of a 304 has them already (RFC 9110
// §15.4.5). Content-Location is not among them.
var describeContent = [...]string{
	"Content-Type", "Content-Length", "Content-Encoding", "Content-Language", "Content-Range",
	"Content-Md5", "Content-Digest", "Repr-Digest", "Digest", "Accept-Ranges", "Content-Disposition",
}

// NotModifiedHeader is the header of a 304 that stands for the copy: all fields of a 200 but those that describe the
// content (RFC 9110 §15.4.5). Fields like Access-Control-Allow-Origin stay, since browsers evaluate them in a 304 as
// well. Last-Modified stays only where there is no ETag. The copy's header is not changed.
func NotModifiedHeader(stored http.Header) http.Header {
	h := DeliverHeader(stored)
	for _, name := range describeContent {
		delete(h, name)
	}
	if len(h["Etag"]) > 0 {
		delete(h, "Last-Modified")
	}
	return h
}

// InNotModified reports whether NotModifiedHeader keeps a field, by its canonical name, of a header after
// DeliverHeader. tagged says that the header has an ETag.
func InNotModified(name string, tagged bool) bool {
	return !slices.Contains(describeContent[:], name) && !(tagged && name == "Last-Modified")
}

// keptByCopy are the fields that a 304 does not change in a copy: they describe the stored bytes, which a 304 confirms
// (RFC 9111 §3.2). Content-Type, which says how to read the bytes, may change without them.
var keptByCopy = map[string]bool{
	"Content-Length": true, "Content-Encoding": true, "Content-Range": true,
	"Content-Md5": true, "Content-Digest": true, "Repr-Digest": true, "Digest": true,
}

// MergeNotModified is the header of a copy that from304 has confirmed (RFC 9111 §3.2, §4.3.4). Fields of the 304
// replace the copy's, except those that describe the stored bytes. The caller decides anew, by the merged header and
// the copy's status, whether the copy may be kept. A copy does not hold its surrogate keys: a 304 without surrogate
// keys leaves the copy's as they were. Neither header is changed.
func MergeNotModified(stored, from304 http.Header) http.Header {
	fresh := from304.Clone()
	RemoveHopByHop(fresh)
	merged := stored.Clone()
	if merged == nil {
		merged = http.Header{}
	}
	// These fields describe the earlier exchange.
	for _, name := range [...]string{"Age", "Date", "Cache-Status", "Warning"} {
		delete(merged, name)
	}
	keepTag := keepsTag(stored["Etag"], from304["Etag"])
	for name, lines := range fresh {
		if keptByCopy[name] || name == "Etag" && keepTag {
			continue
		}
		merged[name] = lines
	}
	return merged
}

// keepsTag reports whether the copy's ETag says more than the 304's (RFC 9110 §8.8.1): a strong ETag names the stored
// bytes, and a weak ETag with the same opaque-tag says less.
func keepsTag(stored, from304 []string) bool {
	old, okOld := fieldTag(stored)
	tag, okTag := fieldTag(from304)
	return okOld && okTag && !old.weak && tag.weak && old.opaque == tag.opaque
}

// ConfirmsStored reports whether a 304 is about this copy (RFC 9111 §4.3.4). A strong ETag must equal a strong ETag of
// the copy. A weak ETag must match weakly. Without an ETag, Last-Modified must be the copy's. A 304 without any
// validator is about this copy as well: the request named no other copy.
func ConfirmsStored(stored, from304 http.Header) bool {
	if lines := from304["Etag"]; len(lines) > 0 {
		tag, ok := storedTag(lines)
		have, okStored := storedTag(stored["Etag"])
		return ok && okStored && tag.opaque == have.opaque && tag.unreadable == have.unreadable && (tag.weak || !have.weak)
	}
	if lines := from304["Last-Modified"]; len(lines) > 0 {
		modified, ok := headerTime(lines)
		have, okStored := headerTime(stored["Last-Modified"])
		return ok && okStored && modified.Equal(have)
	}
	return true
}

// entityTag is an entity-tag (RFC 9110 §8.8.3), its opaque-tag without the quotes.
type entityTag struct {
	opaque     string
	weak       bool
	unreadable bool // the field is no entity-tag, and opaque is all of its text
}

// fieldTag reads an ETag field. ok is false for several lines.
func fieldTag(lines []string) (entityTag, bool) {
	if len(lines) != 1 {
		return entityTag{}, false
	}
	tag, rest, ok := cutEntityTag(TrimOWS(lines[0]))
	return tag, ok && rest == ""
}

// storedTag reads the ETag of a response. A text that is no entity-tag, as without quotes, is compared whole and
// weakly, so that the origin finds its own text in If-None-Match. storedTag rejects "*" and text with a comma, which
// mean something else in that list, and control bytes, which cannot be sent (RFC 9110 §5.5).
func storedTag(lines []string) (entityTag, bool) {
	if tag, ok := fieldTag(lines); ok || len(lines) != 1 {
		return tag, ok
	}
	whole := TrimOWS(lines[0])
	return entityTag{opaque: whole, weak: true, unreadable: true},
		whole != "" && whole != "*" && !strings.ContainsFunc(whole, func(c rune) bool { return c < ' ' || c == 0x7f || c == ',' })
}

// cutEntityTag reads an entity-tag from the start of s. rest is the text after the entity-tag and the space behind it.
// Another entity-tag may follow only after a comma.
func cutEntityTag(s string) (tag entityTag, rest string, ok bool) {
	s, tag.weak = strings.CutPrefix(s, "W/")
	if !strings.HasPrefix(s, `"`) {
		return entityTag{}, "", false
	}
	opaque, rest, closed := strings.Cut(s[1:], `"`)
	if !closed {
		return entityTag{}, "", false
	}
	for i := range len(opaque) {
		if c := opaque[i]; c <= ' ' || c == 0x7f { // etagc
			return entityTag{}, "", false
		}
	}
	rest = strings.TrimLeft(rest, " \t")
	if rest != "" && rest[0] != ',' {
		return entityTag{}, "", false
	}
	tag.opaque = opaque
	return tag, rest, true
}
