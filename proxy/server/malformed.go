package server

import (
	"net/http"

	"golang.org/x/net/http/httpguts"
)

// malformed says why a request cannot be sent on because of its own contents; empty: it can. It removes an empty name from r.Trailer. Such a request
// is refused before anything else is done for it: net/http's transport would refuse to write it, which would look like a failure of the API.
//
// net/http refuses most of it: over HTTP/1.1 what is no method, no Host or no field; over HTTP/2 what is no field or no path, and fields
// of the connection (RFC 9113 §8.2). A method of HTTP/2 and the names in Trailer it takes as they are. A Host is looked at with the target.
func malformed(r *http.Request) string {
	if !httpguts.ValidHeaderFieldName(r.Method) { // a method is a token, too (RFC 9110 §9.1)
		return "the method is no token"
	}
	delete(r.Trailer, "")         // an empty element of a list says nothing (RFC 9110 §5.6.1); over HTTP/2, net/http takes it for a name
	for name := range r.Trailer { // of what can have one; else the field says nothing, and goes no further
		if !httpguts.ValidHeaderFieldName(name) { // RFC 9110 §6.6.2
			return "Trailer names what is no field name"
		}
	}
	return ""
}
