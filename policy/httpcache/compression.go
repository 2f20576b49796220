package httpcache

import (
	"net/http"
	"slices"
	"strings"
)

// compressedTypes are the media types besides text/*, *+json, *+xml and *+text whose content is not compressed already.
var compressedTypes = map[string]bool{
	"application/json": true, "application/x-ndjson": true, "application/xml": true, "application/xhtml+xml": true,
	"application/javascript": true, "application/x-javascript": true, "application/ecmascript": true, "application/graphql": true,
	"application/wasm": true, "application/yaml": true, "application/toml": true, "application/sql": true,
	"application/x-protobuf": true, "application/protobuf": true, "application/rtf": true, "application/x-www-form-urlencoded": true,
	"application/vnd.ms-fontobject": true, "application/x-font-ttf": true, "application/x-font-opentype": true,
	"font/ttf": true, "font/otf": true, "font/collection": true, "image/bmp": true, "image/x-icon": true, "image/vnd.microsoft.icon": true,
}

// Compressible reports whether such answers may go to clients in another coding than the origin's, and usually become
// shorter by compression.
func Compressible(status int, h http.Header) bool {
	if status < 200 || len(h["Content-Encoding"]) > 0 || len(h["Content-Range"]) > 0 {
		return false
	}
	switch status {
	case http.StatusNoContent, http.StatusResetContent, http.StatusPartialContent, http.StatusNotModified:
		return false
	}
	// RFC 9110 §7.7, RFC 9111 §5.2.2.6.
	return !HasElement(h["Cache-Control"], "no-transform") && !Streams(h) && compressibleType(h["Content-Type"])
}

// compressibleType reports whether content of a media type usually becomes shorter by compression.
func compressibleType(contentType []string) bool {
	if len(contentType) != 1 {
		return false
	}
	t := mediaType(contentType)
	return compressedTypes[t] || strings.HasPrefix(t, "text/") || strings.HasSuffix(t, "+json") || strings.HasSuffix(t, "+xml") || strings.HasSuffix(t, "+text")
}

// VaryByCoding adds Accept-Encoding to the Vary of an answer, unless Vary has Accept-Encoding or "*" already (RFC 9110
// §12.5.5).
func VaryByCoding(h http.Header) {
	names, star := ParseVary(h["Vary"])
	if !star && !slices.Contains(names, acceptEncoding) {
		h["Vary"] = append(slices.Clip(h["Vary"]), acceptEncoding)
	}
}

// AppendWeakETag appends the ETag of an answer in another coding than the origin's. The ETag is weak, since the bytes
// differ and mean the same (RFC 9110 §8.8.1, §8.8.3.3). If-None-Match with either ETag matches the other.
// AppendWeakETag appends nothing where the origin's ETag is not well-formed.
func AppendWeakETag(to []byte, etag []string) []byte {
	tag, ok := fieldTag(etag)
	if !ok {
		return to
	}
	return append(append(append(to, `W/"`...), tag.opaque...), '"')
}

// digests are the fields that describe the bytes of one coding (RFC 9530 §2, §3), and are wrong for those of another.
// Accept-Ranges is among them: ranges are of the origin's bytes (RFC 9110 §14.3).
var digests = [...]string{"Content-Digest", "Repr-Digest", "Digest", "Content-Md5", "Accept-Ranges"}

// RemoveDigests deletes the fields that would be wrong for an answer in another coding.
func RemoveDigests(h http.Header) {
	for _, name := range digests {
		delete(h, name)
	}
}

// Compressed reports whether a copy that is held in a coding goes to this client as held. An absent Accept-Encoding
// allows any coding, but does not promise that the client can read one (RFC 9110 §12.5.3). Ranges are of the bytes that
// the origin made, and a client may forbid transformation (RFC 9111 §5.2.1.6).
func Compressed(req http.Header, held Coding) bool {
	lines := req[acceptEncoding]
	return len(lines) > 0 && len(req["Range"]) == 0 && parseAcceptEncoding(lines).prefers(held) &&
		!HasElement(req["Cache-Control"], "no-transform")
}
