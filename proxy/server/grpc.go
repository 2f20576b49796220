package server

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// statusClientGone stands in logs for a client that had left, or whose deadline had passed. No client gets it as a status of HTTP.
const statusClientGone = 499

// isGRPC reports whether a request is a call of gRPC ("PROTOCOL-HTTP2.md" of gRPC, Requests).
func isGRPC(r *http.Request) bool {
	t := r.Header.Get("Content-Type")
	rest, ok := strings.CutPrefix(t, "application/grpc")
	return ok && r.ProtoMajor >= 2 && (rest == "" || rest[0] == '+' || rest[0] == ';')
}

// Overdue reports whether a gRPC call that took so long has exceeded its grpc-timeout. At the deadline, the upstream's server resets the stream,
// which is no failure of the server, but looks like one if the client's own timer for the same deadline fires a moment later.
func Overdue(r *http.Request, took time.Duration) bool {
	limit, ok := grpcTimeout(r.Header.Get("Grpc-Timeout"))
	return ok && took >= limit && isGRPC(r)
}

// grpcTimeout is a grpc-timeout: at most eight digits and a unit.
func grpcTimeout(v string) (time.Duration, bool) {
	if len(v) < 2 || len(v) > 9 {
		return 0, false
	}
	unit, ok := map[byte]time.Duration{
		'H': time.Hour, 'M': time.Minute, 'S': time.Second, 'm': time.Millisecond, 'u': time.Microsecond, 'n': time.Nanosecond,
	}[v[len(v)-1]]
	n, err := strconv.ParseUint(v[:len(v)-1], 10, 32)
	if !ok || err != nil {
		return 0, false
	}
	if limit := time.Duration(n) * unit; limit/unit == time.Duration(n) {
		return limit, true
	}
	return 0, false // it overflows, as 99,999,999 hours do: no deadline
}

// grpcError answers a call of gRPC with a response of trailers alone, since its client takes anything else for a broken server. The
// codes are those that a client would have made of the status itself ("http-grpc-status-mapping.md" of gRPC).
func grpcError(w http.ResponseWriter, status int, text, id string) {
	code := 2 // UNKNOWN
	switch status {
	case http.StatusBadRequest:
		code = 13 // INTERNAL
	case http.StatusUnauthorized:
		code = 16 // UNAUTHENTICATED
	case http.StatusForbidden:
		code = 7 // PERMISSION_DENIED
	case http.StatusNotFound:
		code = 12 // UNIMPLEMENTED
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		code = 14 // UNAVAILABLE
	case statusClientGone:
		code = 4 // DEADLINE_EXCEEDED
	}
	if id != "" {
		text += " (request id: " + id + ")"
	}
	h := w.Header()
	h.Set("Content-Type", "application/grpc")
	h.Set("Grpc-Status", strconv.Itoa(code))
	h.Set("Grpc-Message", url.PathEscape(text))
	w.WriteHeader(http.StatusOK)
}
