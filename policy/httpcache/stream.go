package httpcache

import (
	"net/http"
	"strings"
)

// Streams reports whether content of this type has no foreseeable end: the peers, and not the length, decide how long
// it lasts. Event streams (HTML Living Standard §9.2) and multipart/x-mixed-replace (§7.4.4) last until one side
// closes. The content of a gRPC call does not tell whether it is one message or a conversation.
func Streams(h http.Header) bool {
	switch mediaType(h["Content-Type"]) {
	case "text/event-stream", "multipart/x-mixed-replace":
		return true
	}
	return GRPC(h)
}

// GRPC reports whether a message belongs to a gRPC call: application/grpc, with or without the name of a message format
// (gRPC over HTTP/2, "Requests"), or a type of gRPC-Web.
func GRPC(h http.Header) bool {
	rest, ok := strings.CutPrefix(mediaType(h["Content-Type"]), "application/grpc")
	return ok && (rest == "" || rest[0] == '+' || rest[0] == '-')
}

// mediaType is the type and subtype of the first Content-Type, in lower case (RFC 9110 §8.3.1). Parameters are cut off
// unread, so that a malformed one does not hide the type.
func mediaType(contentType []string) string {
	if len(contentType) == 0 {
		return ""
	}
	name, _, _ := strings.Cut(contentType[0], ";")
	return strings.ToLower(TrimOWS(name))
}
