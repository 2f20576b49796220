package httpcache

import "testing"

func TestDisplaces(t *testing.T) {
	tests := []struct {
		about          string
		status, copied int
		least          Freshness // of a copy that stays; Fresh+1: none does
	}{
		{"500 (RFC 5861 §4)", 500, 200, StaleOnError},
		{"502", 502, 200, StaleOnError},
		{"503", 503, 200, StaleOnError},
		{"504", 504, 200, StaleOnError},
		{"any other error of the server", 507, 200, StaleOnError},
		{"408 (RFC 9110 §15.5.9)", 408, 200, StaleOnError},
		{"425 (RFC 8470 §5.2)", 425, 200, StaleOnError},
		{"429 (RFC 6585 §4)", 429, 200, StaleOnError},
		{"404 is an answer", 404, 200, Fresh + 1},
		{"410 is one", 410, 200, Fresh + 1},
		{"403 is one", 403, 200, Fresh + 1},
		{"a success", 200, 200, Fresh + 1},
		{"a redirect", 301, 200, Fresh + 1},
		{"a copy that is gone is one", 503, 404, StaleOnError},
		{"a redirect is one", 503, 301, StaleOnError},
		{"an error after an error", 503, 500, Fresh + 1},
		{"an error after a refusal", 503, 429, Fresh + 1},
		{"a success after an error", 200, 503, Fresh + 1},
	}
	for _, tt := range tests {
		for state := Dead; state <= Fresh; state++ {
			if got := Displaces(tt.status, tt.copied, state); got != (state < tt.least) {
				t.Errorf("%s: %d displaces a copy with %d that is %v: %v", tt.about, tt.status, tt.copied, state, got)
			}
		}
	}
}
