package proxy

import "testing"

// Two clients are never one by their idempotency key, whatever field tells them apart; the way of a request and its trace tell nobody apart.
func TestIdempotencyKeyIsOneClients(t *testing.T) {
	for name, c := range map[string]struct {
		a, b []string
		one  bool
	}{
		"the same":              {[]string{"X-Api-Key", "a"}, []string{"X-Api-Key", "a"}, true},
		"nobody":                {nil, nil, true},
		"authorization":         {[]string{"Authorization", "Bearer a"}, []string{"Authorization", "Bearer b"}, false},
		"an API key":            {[]string{"X-Api-Key", "a"}, []string{"X-Api-Key", "b"}, false},
		"a field of any name":   {[]string{"X-Whose", "a"}, []string{"X-Whose", "b"}, false},
		"a spelling of CGI":     {[]string{"X_api_key", "a"}, []string{"X_api_key", "b"}, false},
		"a field more":          {[]string{"X-Api-Key", "a"}, []string{"X-Api-Key", "a", "X-User-Id", "8"}, false},
		"lines, not fields":     {[]string{"X-A", "x", "X-A", "X-B", "X-A", "y"}, []string{"X-A", "x", "X-B", "y"}, false},
		"a cookie":              {[]string{"Cookie", "sid=1"}, []string{"Cookie", "sid=2"}, false},
		"a language":            {[]string{"Accept-Language", "de"}, []string{"Accept-Language", "fr"}, false},
		"what content is for":   {[]string{"Content-Disposition", "a"}, []string{"Content-Disposition", "b"}, false},
		"a trace":               {[]string{"Traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}, nil, true},
		"a try of a user agent": {[]string{"User-Agent", "one/1", "X-Request-Id", "1"}, []string{"User-Agent", "one/2", "X-Request-Id", "2"}, true},
		"the connection":        {[]string{"Connection", "X-Hop", "X-Hop", "1", "Prefer", "respond-async"}, nil, true},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBehindRig(t, untouched(t), nil)
			first := b.send("POST", "/stock/5", "one", append(c.a, "Idempotency-Key", "k")...)
			second := b.send("POST", "/stock/5", "one", append(c.b, "Idempotency-Key", "k")...)
			if first.status != 202 || second.status != 202 {
				t.Fatal(first.status, second.status)
			}
			if one := first.header.Get("Location") == second.header.Get("Location"); one != c.one {
				t.Errorf("they are one write: %v, want %v", one, c.one)
			}
		})
	}
}
