package server

import (
	"net/http"

	"golang.org/x/net/http/httpguts"
)

// malformed says why no upstream can be sent the request; empty: nothing is wrong, and r.Trailer is tidied. Such a
// request is refused first of all: net/http's client would refuse to write the request, which looks like a failure of
// the API.
//
// net/http refuses most malformed requests. Over HTTP/1.1 it checks method, Host and fields. Over HTTP/2 it checks
// fields, path, and the absence of fields of the connection (RFC 9113 §8.2), but neither the method nor the names in
// Trailer. The target's check covers Host.
func malformed(r *http.Request) string {
	if !httpguts.ValidHeaderFieldName(r.Method) { // a method is a token, too (RFC 9110 §9.1)
		return "the method is no token"
	}
	delete(r.Trailer, "")         // an empty element (RFC 9110 §5.6.1): over HTTP/2, net/http takes it for a name
	for name := range r.Trailer { // set only for a request that can have a trailer; otherwise the field is not sent on
		if !httpguts.ValidHeaderFieldName(name) { // RFC 9110 §6.6.2
			return "Trailer names what is no field name"
		}
	}
	return ""
}
