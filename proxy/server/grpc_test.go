package server

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// An error of the proxy's own reaches a client of gRPC as a status ("PROTOCOL-HTTP2.md" of gRPC, Trailers-Only), with the code
// that the client would have made of the status of HTTP.
func TestErrorOfGRPC(t *testing.T) {
	for _, c := range []struct {
		contentType string
		major       int
		status      int
		want        string // grpc-status; empty: an ordinary answer
	}{
		{"application/grpc", 2, http.StatusBadGateway, "14"},
		{"application/grpc+proto", 2, http.StatusServiceUnavailable, "14"},
		{"application/grpc; charset=utf-8", 2, http.StatusGatewayTimeout, "14"},
		{"application/grpc", 2, http.StatusBadRequest, "13"},
		{"application/grpc", 2, http.StatusForbidden, "7"},
		{"application/grpc", 2, http.StatusNotFound, "12"},
		{"application/grpc", 2, statusClientGone, "4"},
		{"application/grpc", 2, http.StatusRequestEntityTooLarge, "2"},
		{"application/grpc-web", 2, http.StatusBadGateway, ""},
		{"application/grpc", 1, http.StatusBadGateway, ""},
		{"application/json", 2, http.StatusBadGateway, ""},
	} {
		r := httptest.NewRequest("POST", "/pkg.Service/Call", nil)
		r.ProtoMajor = c.major
		r.Header.Set("Content-Type", c.contentType)
		w := httptest.NewRecorder()
		Error(w, r, c.status, "it broke: 100 %", "ab12")
		h := w.Header()
		if c.want == "" {
			if w.Code != c.status || h.Get("Grpc-Status") != "" {
				t.Errorf("%+v: %d %v", c, w.Code, h)
			}
			continue
		}
		if w.Code != http.StatusOK || h.Get("Content-Type") != "application/grpc" || w.Body.Len() != 0 || h.Get("Grpc-Status") != c.want {
			t.Errorf("%+v: %d %v %q", c, w.Code, h, w.Body)
		}
		if m := h.Get("Grpc-Message"); !strings.Contains(m, "100%20%25") || !strings.Contains(m, "ab12") {
			t.Errorf("%+v: message %q", c, m)
		}
	}
}

// A call is overdue when its grpc-timeout has passed; what is no timeout never passes.
func TestOverdue(t *testing.T) {
	for _, c := range []struct {
		timeout string
		took    time.Duration
		want    bool
	}{
		{"1m", time.Millisecond, true},
		{"1m", 999 * time.Microsecond, false},
		{"0n", 0, true},
		{"2S", 2 * time.Second, true},
		{"1H", time.Minute, false},
		{"1M", time.Minute, true},
		{"99999999u", 100 * time.Second, true},
		{"99999999H", 1 << 62, false}, // beyond what a duration holds
		{"", time.Hour, false},
		{"m", time.Hour, false},
		{"1", time.Hour, false},
		{"1s", time.Hour, false},
		{"-1S", time.Hour, false},
		{"+1S", time.Hour, false},
		{"123456789S", 1 << 62, false},
	} {
		r := httptest.NewRequest("POST", "/pkg.Service/Call", nil)
		r.ProtoMajor = 2
		r.Header.Set("Content-Type", "application/grpc")
		r.Header.Set("Grpc-Timeout", c.timeout)
		if got := Overdue(r, c.took); got != c.want {
			t.Errorf("%q after %s: %v", c.timeout, c.took, got)
		}
		r.Header.Set("Content-Type", "application/json")
		if Overdue(r, c.took) {
			t.Errorf("%q after %s is no call of gRPC", c.timeout, c.took)
		}
	}
}
