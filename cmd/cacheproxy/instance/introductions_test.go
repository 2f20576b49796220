package instance

import (
	"bytes"
	"log/slog"
	"net/netip"
	"strings"
	"testing"

	"cacheproxy/test/bubbles"
)

// A balancer that does not introduce its clients has a few lines a minute, whatever others send.
func TestIntroductionsAreTold(t *testing.T) {
	bubbles.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		n := &introductions{log: slog.New(slog.NewTextHandler(&log, nil))}
		for range 100 {
			n.tell(netip.MustParseAddr("192.0.2.9"), false, "not listed")
		}
		for range 18 {
			n.tell(netip.MustParseAddr("10.0.0.1"), true, "TLS")
		}
		if others, own := strings.Count(log.String(), `peer=192.0.2.9 wrong="not listed" `), strings.Count(log.String(), "peer=10.0.0.1 wrong=TLS "); others != 5 || own != 5 {
			t.Errorf("%d and %d lines, want 5 of each:\n%s", others, own, log.String())
		}
	})
}
