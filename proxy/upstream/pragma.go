package upstream

import (
	"bufio"
	"net/http"
	"strings"
	"unsafe"
)

// addedNoCache is the text that net/http puts into Cache-Control where a message of HTTP/1.1 has Pragma: no-cache and no Cache-Control; nil:
// it does not, or a text that came cannot be told from it. Values that came over the wire have memory of their own.
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

// AsSent takes the Cache-Control out of a header that its sender has not sent: net/http adds it to a message that has Pragma: no-cache
// alone. What passes is to arrive as it was sent, and what Pragma means is for those to say who read it: in a request the same (RFC 9111
// §5.4), in a response nothing that is specified. Over HTTP/2 nothing is added.
func AsSent(h http.Header) {
	lines := h["Cache-Control"]
	if len(lines) == 1 && len(h["Pragma"]) > 0 && lines[0] == "no-cache" && addedNoCache != nil && unsafe.StringData(lines[0]) == addedNoCache {
		delete(h, "Cache-Control")
	}
}
