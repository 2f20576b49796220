package upstream

import (
	"bufio"
	"net/http"
	"strings"
	"unsafe"
)

// addedNoCache points to the text of the Cache-Control that net/http adds to a message of HTTP/1.1 with Pragma: no-cache and no Cache-Control. A value
// that came over the wire has memory of its own, and so another pointer. Nil: net/http adds none, or one that cannot be told apart.
var addedNoCache = func() *byte {
	read := func(fields string) *byte {
		res, err := http.ReadResponse(bufio.NewReader(strings.NewReader("HTTP/1.1 204 \r\nPragma: no-cache\r\n"+fields+"\r\n")), nil)
		if err != nil || res.Header.Get("Cache-Control") != "no-cache" {
			return nil
		}
		return unsafe.StringData(res.Header["Cache-Control"][0])
	}
	if added := read(""); added == read("") && added != read("Cache-Control: no-cache\r\n") {
		return added
	}
	return nil
}()

// AsSent removes a Cache-Control that net/http has added because of Pragma: no-cache, so that a message that passes arrives as it was sent. The code
// that interprets headers heeds Pragma itself: in a request it means the same (RFC 9111 §5.4), in a response it has no specified meaning. Over HTTP/2
// net/http adds nothing.
func AsSent(h http.Header) {
	lines := h["Cache-Control"]
	if len(lines) == 1 && len(h["Pragma"]) > 0 && lines[0] == "no-cache" && addedNoCache != nil && unsafe.StringData(lines[0]) == addedNoCache {
		delete(h, "Cache-Control")
	}
}
