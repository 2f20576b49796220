package policy

import "cmp"

// Member is one name under which a copy can be made unusable: a kind and a value, such as the key v2:product:17 or the
// tag product-list. A copy has several members, an invalidation names some, and the ledger matches them. The first byte
// is the kind, the rest the value.
type Member string

// MemberKind is the first byte of a Member.
type MemberKind byte

const (
	KindAll    MemberKind = '*' // everything; no value
	KindRoute  MemberKind = 'r' // a route's name
	KindKey    MemberKind = 'k' // a copy's name, rendered from the route's key
	KindTag    MemberKind = 't' // a surrogate key
	KindGroup  MemberKind = 'g' // a cache group of one origin (RFC 9875): origin, space, group
	KindURL    MemberKind = 'u' // lower-case host (empty: any), raw path, '?' and the forwarded query where there is one
	KindPath   MemberKind = 'q' // lower-case host (empty: any) and raw path, with every query
	KindPrefix MemberKind = 'p' // lower-case host (empty: any) and a raw path cut at a segment, without trailing slash
)

// NewMember joins a kind and a value.
func NewMember(kind MemberKind, value string) Member { return Member(string(kind) + value) }

// All is the member of every copy.
const All = Member(KindAll)

// Kind is the member's kind; zero for the empty Member.
func (m Member) Kind() MemberKind {
	if m == "" {
		return 0
	}
	return MemberKind(m[0])
}

// Value is the member without its kind.
func (m Member) Value() string {
	if m == "" {
		return ""
	}
	return string(m[1:])
}

// MaxMembers bounds the members of a copy: the tags that the response lists, which the API decides, and all others,
// which a client decides by the path and the parameters that it makes up. A copy with more of either is not stored: if
// a member were dropped silently, a purge of that member would miss the copy.
const MaxMembers = maxNames + maxTags

// maxTags is how many tags a response may list.
const maxTags = 4096

// String is the kind's word in purges, logs and metrics.
func (k MemberKind) String() string { return cmp.Or(kindWords[k], "unknown") }

var kindWords = map[MemberKind]string{
	KindAll: "all", KindRoute: "route", KindKey: "key", KindTag: "tag", KindGroup: "group", KindURL: "url", KindPath: "path", KindPrefix: "prefix",
}

// String is the kind and the value of the member in words, such as key:v2:product:17.
func (m Member) String() string {
	if m == All {
		return KindAll.String()
	}
	return m.Kind().String() + ":" + m.Value()
}
