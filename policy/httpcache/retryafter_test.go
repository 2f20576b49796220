package httpcache

import (
	"net/http"
	"testing"
	"time"
)

// RFC 9110 §10.2.3: seconds, or a date in any of the forms of §5.6.7.
func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)
	for value, want := range map[string]time.Duration{
		"120":                               2 * time.Minute,
		"0":                                 0,
		"Wed, 01 Jul 2026 12:00:30 GMT":     30 * time.Second,
		"Wednesday, 01-Jul-26 12:01:00 GMT": time.Minute,
		"Wed, 01 Jul 2026 11:00:00 GMT":     0,
		"4294967295":                        4294967295 * time.Second,
		"99999999999999999999":              0,
		"-5":                                0,
		"1.5":                               0,
		"soon":                              0,
		"":                                  0,
	} {
		if got := RetryAfter(http.Header{"Retry-After": {value}}, now); got != want {
			t.Errorf("%q: %v, want %v", value, got, want)
		}
	}
	if got := RetryAfter(http.Header{}, now); got != 0 {
		t.Errorf("none: %v", got)
	}
}

func FuzzRetryAfter(f *testing.F) {
	for _, value := range []string{"120", "Wed, 01 Jul 2026 12:00:30 GMT", "-1", "99999999999999999999", ""} {
		f.Add(value)
	}
	f.Fuzz(func(t *testing.T, value string) {
		if d := RetryAfter(http.Header{"Retry-After": {value}}, time.Unix(1e9, 0)); d < 0 {
			t.Errorf("%q: %v", value, d)
		}
	})
}
