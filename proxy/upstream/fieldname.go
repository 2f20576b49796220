package upstream

import (
	"fmt"
	"net/http"
	"net/textproto"
	"slices"
	"strings"
)

// joinNames removes the space between a field's name and the colon (RFC 9112 §5.1). net/http leaves the space in the
// name. Under such a name nobody would find the caching fields of a sloppy upstream: "Cache-Control : private" would
// not be private. A field that frames the message is an error: net/http has framed the message without it, so nobody
// knows where the message ends.
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
