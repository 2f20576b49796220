package upstream

import (
	"io"
	"net/http"
	"testing"

	"cacheproxy/policy"
)

// What one service of an upstream gets wrong puts none of its addresses out of use.
func TestImpossibleHeadSaysNothingOfTheAddress(t *testing.T) {
	o := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		io.WriteString(conn, "HTTP/1.1 000 No\r\nContent-Length: 0\r\n\r\n")
		conn.Close()
	}, Options{})
	for range 2 * ejectAfter {
		if _, err := o.RoundTrip(request(t, o, "GET", nil)); Classify(err) != policy.OriginError || NotSent(err) {
			t.Errorf("%v", err)
		}
	}
	o.Health(func(address string, healthy bool) {
		if !healthy {
			t.Errorf("%s is out of use", address)
		}
	})
}
