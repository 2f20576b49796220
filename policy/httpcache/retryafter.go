package httpcache

import (
	"net/http"
	"strconv"
	"time"
)

// RetryAfter is how long the sender of an answer asks clients to wait: Retry-After in seconds, or as a date (RFC 9110
// §10.2.3). Zero: no field, a time in the past, or a malformed value. The time may be very long.
func RetryAfter(h http.Header, now time.Time) time.Duration {
	values := h["Retry-After"]
	if len(values) == 0 {
		return 0
	}
	if seconds, err := strconv.ParseUint(values[0], 10, 32); err == nil {
		return time.Duration(seconds) * time.Second
	}
	at, err := http.ParseTime(values[0])
	if err != nil {
		return 0
	}
	return max(at.Sub(now), 0)
}
