package upstream

import (
	"fmt"
	"net/http"
	"net/textproto"
	"slices"
	"strings"
)

// joinNames takes away the space between a field's name and the colon (RFC 9112 §5.1). net/http leaves it in the name, under
// which nobody would find what a sloppy upstream says of caching: "Cache-Control : private" would be no private. Where the
// field frames the message, that was read without it, and nobody knows what it is.
func joinNames(h http.Header) error {
	for spaced, lines := range h {
		name := strings.TrimRight(spaced, " ")
		if name == spaced {
			continue
		}
		delete(h, spaced)
		switch name = textproto.CanonicalMIMEHeaderKey(name); name {
		case "":
		case "Content-Length", "Transfer-Encoding":
			return fmt.Errorf("read response: space after the name of %s", name)
		default:
			h[name] = append(slices.Clip(h[name]), lines...)
		}
	}
	return nil
}
