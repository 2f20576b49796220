package upstream

import (
	"fmt"
	"net/http"
	"net/textproto"
	"slices"
	"strings"
)

// joinNames removes the space between a field's name and the colon (RFC 9112 §5.1). net/http leaves it in the name, under which the field would not be
// found: "Cache-Control : private" would not count as private. If such a field frames the message, net/http has read the message without it, and
// joinNames returns an error.
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
