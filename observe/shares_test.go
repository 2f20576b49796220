package observe

import (
	"io"
	"testing"

	"cacheproxy/policy"
)

// The shares of the access log can change while it is written.
func TestSetShares(t *testing.T) {
	l, err := NewAccessLog(AccessLogOptions{Format: "json", Output: io.Discard})
	if err != nil {
		t.Fatal(err)
	}
	hit, miss := &Record{Outcome: policy.Hit}, &Record{Outcome: policy.Miss}
	if l.Sampled(hit) || l.Sampled(miss) {
		t.Error("written although the shares are zero")
	}
	if l.SetShares(1, 0); !l.Sampled(hit) || l.Sampled(miss) {
		t.Error("not all hits are written, or more than these")
	}
}
