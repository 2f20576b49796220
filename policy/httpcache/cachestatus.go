package httpcache

import (
	"strconv"
	"time"
)

// CacheStatus is one member of Cache-Status (RFC 9211 §2).
type CacheStatus struct {
	Hit           bool          // hit (§2.1)
	Forward       string        // fwd (§2.2), one of its words; empty: not forwarded, and the next four do not count
	ForwardStatus int           // fwd-status (§2.3); zero: none
	Stored        bool          // stored (§2.5)
	Collapsed     bool          // collapsed (§2.6): the answer came with another request's
	Apart         bool          // collapsed=?0 (§2.6): waited for an answer that was not for it or did not come
	TTL           time.Duration // ttl (§2.4), negative when stale; rounded down to seconds
	HasTTL        bool
	Key           string // key (§2.7); empty: none
	Detail        string // detail (§2.8); empty: none
}

// Append appends the member to dst: one Item with parameters (RFC 8941 §3.3), valid for any Detail and Key. Append
// allocates only if dst has no room.
func (s CacheStatus) Append(dst []byte) []byte {
	dst = append(dst, pseudonym...)
	switch {
	case s.Forward != "":
		dst = append(append(dst, "; fwd="...), s.Forward...)
		dst = s.appendForwarded(dst)
	case s.Hit:
		dst = append(dst, "; hit"...)
	}
	if s.HasTTL {
		dst = strconv.AppendInt(append(dst, "; ttl="...), floorSeconds(s.TTL), 10)
	}
	if s.Key != "" {
		dst = appendString(append(dst, "; key="...), s.Key)
	}
	switch {
	case s.Detail == "":
	case isSFToken(s.Detail):
		dst = append(append(dst, "; detail="...), s.Detail...)
	default:
		dst = appendString(append(dst, "; detail="...), s.Detail)
	}
	return dst
}

// appendForwarded appends the parameters of requests that went on to the origin.
func (s CacheStatus) appendForwarded(dst []byte) []byte {
	if s.ForwardStatus != 0 {
		dst = strconv.AppendInt(append(dst, "; fwd-status="...), int64(s.ForwardStatus), 10)
	}
	if s.Stored {
		dst = append(dst, "; stored"...)
	}
	switch {
	case s.Collapsed:
		dst = append(dst, "; collapsed"...)
	case s.Apart:
		dst = append(dst, "; collapsed=?0"...)
	}
	return dst
}

// floorSeconds rounds down, so that an answer that has just become stale has a negative ttl.
func floorSeconds(d time.Duration) int64 {
	s := int64(d / time.Second)
	if d%time.Second < 0 {
		s--
	}
	return s
}

// appendString appends a String (RFC 8941 §3.3.3). Bytes that a String cannot hold are percent-encoded.
func appendString(dst []byte, s string) []byte {
	dst = append(dst, '"')
	for i := range len(s) {
		switch c := s[i]; {
		case c < ' ' || c >= 0x7f:
			dst = append(dst, '%', upperHex[c>>4], upperHex[c&15])
		case c == '"' || c == '\\':
			dst = append(dst, '\\', c)
		default:
			dst = append(dst, c)
		}
	}
	return append(dst, '"')
}

// isSFToken reports whether s is a Token (RFC 8941 §3.3.4).
func isSFToken(s string) bool {
	return s != "" && (s[0] == '*' || s[0]|0x20 >= 'a' && s[0]|0x20 <= 'z') && sfTokenBytes.all(s)
}
