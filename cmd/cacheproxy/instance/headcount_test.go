package instance

import (
	"testing"
	"time"

	"cacheproxy/proxy/upstream"
)

// Shares shrink at once and grow only when it is certain that nobody else holds what they grow by.
func TestHeadcount(t *testing.T) {
	const settle = 3 * time.Second
	type look struct {
		after time.Duration // since the one before
		live  int
		want  int
	}
	for _, c := range []struct {
		name  string
		looks []look
	}{
		{"who starts alone waits for others to be heard of", []look{{0, 1, upstream.AssumedInstances}, {settle - 1, 1, upstream.AssumedInstances}, {1, 1, 1}}},
		{"more than anybody assumes", []look{{0, upstream.AssumedInstances + 4, upstream.AssumedInstances + 4}}},
		{"one joins", []look{{0, 2, 8}, {settle, 2, 2}, {1, 3, 3}}},
		{"one leaves", []look{{0, 3, 8}, {settle, 3, 3}, {time.Hour, 2, 3}, {settle - 1, 2, 3}, {1, 2, 2}}},
		{"the list fills one by one", []look{{0, 3, 8}, {settle, 3, 3}, {time.Hour, 1, 3}, {settle / 3, 2, 3}, {settle / 3, 3, 3}, {settle, 3, 3}}},
		{"the most of those that came counts", []look{{0, 5, 8}, {settle, 5, 5}, {time.Hour, 1, 5}, {settle - 1, 3, 5}, {1, 2, 3}, {settle, 2, 3}, {settle, 2, 2}}},
		{"without news what was known holds", []look{{0, 3, 8}, {settle, 3, 3}, {time.Hour, 0, 3}, {time.Hour, 2, 3}, {1, 0, 3}, {settle, 2, 3}, {settle, 2, 2}}},
	} {
		h, now := newHeadcount(settle), time.Unix(1, 0)
		for i, l := range c.looks {
			now = now.Add(l.after)
			if got := h.see(l.live, now); got != l.want {
				t.Errorf("%s: look %d: %d live count as %d, want %d", c.name, i+1, l.live, got, l.want)
				break
			}
		}
	}
}
