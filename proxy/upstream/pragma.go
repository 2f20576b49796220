package upstream

import (
	"bufio"
	"net/http"
	"strings"
	"unsafe"
)

// addedNoCache is the text that net/http puts into Cache-Control when a message of HTTP/1.1 has Pragma: no-cache and
// no Cache-Control. nil: net/http adds nothing, or the text cannot be told from a value that came over the wire.
// Values from the wire have memory of their own.
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

// AsSent removes from a header the Cache-Control that its sender has not sent: net/http adds that field to a message
// that has Pragma: no-cache alone. Messages must pass as they were sent, and each reader gives Pragma its meaning. In
// a request Pragma: no-cache means the same (RFC 9111 §5.4), in a response its meaning is unspecified. Over HTTP/2
// net/http adds nothing.
func AsSent(h http.Header) {
	lines := h["Cache-Control"]
	if len(lines) == 1 && len(h["Pragma"]) > 0 && lines[0] == "no-cache" && addedNoCache != nil && unsafe.StringData(lines[0]) == addedNoCache {
		delete(h, "Cache-Control")
	}
}
