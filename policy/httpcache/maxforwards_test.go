package httpcache

import (
	"net/http"
	"testing"
)

// RFC 9110 §7.6.2
func TestForwardOnce(t *testing.T) {
	for _, c := range []struct {
		name, method string
		value        []string
		forward      bool
		left         string
	}{
		{"absent", "OPTIONS", nil, true, ""},
		{"counted down", "OPTIONS", []string{"3"}, true, "2"},
		{"counted down to zero", "TRACE", []string{"1"}, true, "0"},
		{"zero", "TRACE", []string{"0"}, false, "0"},
		{"zero in many digits", "OPTIONS", []string{"000"}, false, "000"},
		{"other methods ignore it", "GET", []string{"0"}, true, "0"},
		{"no number", "OPTIONS", []string{"-1"}, true, "-1"},
		{"signed", "OPTIONS", []string{"+0"}, true, "+0"},
		{"empty", "OPTIONS", []string{""}, true, ""},
		{"larger than any number of hops", "OPTIONS", []string{"99999999999999999999"}, true, "2147483647"},
		{"two values", "OPTIONS", []string{"0", "1"}, true, "0"},
	} {
		h := http.Header{}
		if c.value != nil {
			h["Max-Forwards"] = c.value
		}
		if forward := ForwardOnce(c.method, h); forward != c.forward || h.Get("Max-Forwards") != c.left {
			t.Errorf("%s: forward %v, %q left; want %v, %q", c.name, forward, h.Get("Max-Forwards"), c.forward, c.left)
		}
	}
}

// RFC 9110 §9.3.8: "a client MUST NOT generate fields containing sensitive data", and where it did, they are not echoed.
