package instance

import (
	"crypto/tls"
	"testing"

	"cacheproxy/config"
	"cacheproxy/invalidation/valkey"
)

// A client certificate that is read again is shown on the next connection, to the server of copies and to that of records.
func TestClientCertificates(t *testing.T) {
	given := func(name string) valkey.Server {
		return valkey.Server{TLS: &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{[]byte(name)}}}}}
	}
	var f fleet
	var b boards
	if c, err := f.certificate.shown(nil); err != nil || c == nil || len(c.Certificate) > 0 {
		t.Errorf("none: %v, %v", c, err)
	}
	servers := map[string]valkey.Server{"copies": f.certificate.of(given("first")), "records": b.certificate.of(given("first"))}
	for _, name := range []string{"first", "second"} {
		f.present(&config.Valkey{Server: given(name)})
		f.present(&config.Valkey{})
		f.present(nil)
		b.present(&config.Records{Server: given(name)})
		b.present(&config.Records{Memory: true})
		b.present(nil)
		for of, server := range servers {
			if c, err := server.TLS.GetClientCertificate(nil); err != nil || string(c.Certificate[0]) != name || len(server.TLS.Certificates) > 0 {
				t.Errorf("%s: shown %s, %v; want %s", of, c.Certificate[0], err, name)
			}
		}
	}
	var none *boards
	none.present(&config.Records{Server: given("third")})
}
