package proxy

import (
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"cacheproxy/policy"
)

// Connection takes off no field that is for every recipient, on no way and in no version (RFC 9110 §7.6.1, RFC 9113 §8.2.2): such a
// request is malformed, and the origin does not see it.
func TestConnectionNamesAFieldForAll(t *testing.T) {
	asked := make(chan string, 1000)
	r := newRig(t, func(_ http.ResponseWriter, r *http.Request) { asked <- r.Method + " " + r.URL.Path },
		rigOptions{}, routeFor(t, "all", nil, "/cached"), routeFor(t, "none", func(r *policy.Route) { r.Policy = policy.Bypass }, "/bypass"))
	for _, version := range []string{"1.0", "1.1"} {
		for _, method := range []string{"GET", "HEAD", "POST", "OPTIONS"} {
			for _, path := range []string{"/cached", "/bypass", "/unmatched", "//unclean"} {
				for _, name := range []string{"X-Real-IP", "x_client_cert_dn", "Authorization", "Host"} {
					request := fmt.Sprintf("%s %s HTTP/%s\r\nHost: a\r\nX-Real-IP: 1.2.3.4\r\nX_Client_Cert_DN: CN=a\r\nConnection: close, %s\r\n\r\n", method, path, version, name)
					if heads := exchangeRaw(t, r, request); !strings.HasPrefix(heads[0], "HTTP/"+version+" 400 ") {
						t.Errorf("%q: %q", request, heads[0])
					}
				}
			}
		}
	}
	if len(asked) > 0 {
		t.Errorf("the origin saw %s", <-asked)
	}
}

// A client that is not trusted does not say whom it is forwarded for, nor what this proxy says of the request, in any spelling that
// a server may take for it, in the header or after the content, on a fill or a pass.
func TestClientsDoNotSpeakForProxies(t *testing.T) {
	const forged = "6.6.6.6"
	var mu sync.Mutex
	var headers []http.Header
	r := newRig(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Trailer", "Cache-Control, Grpc-Status")
		io.WriteString(w, "x")
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("Grpc-Status", "0")
		w.Header().Set(http.TrailerPrefix+"Set-Cookie", forged)
		mu.Lock()
		defer mu.Unlock()
		headers = append(headers, r.Header, r.Trailer)
	}, rigOptions{}, routeFor(t, "cached", nil, "/cached"), routeFor(t, "all", func(r *policy.Route) { r.ForwardHeaders = policy.ForwardAll }, "/all"))
	names := []string{"X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Forwarded-User", "X-Forwarded", "Forwarded", "X-Request-Id"}
	for _, name := range names[:len(names):len(names)] {
		names = append(names, strings.ReplaceAll(name, "-", "_"), strings.ToUpper(strings.ReplaceAll(name, "-", "_")))
	}
	fields := ""
	for _, name := range names {
		fields += name + ": " + forged + "\r\n"
	}
	for _, request := range []string{
		"GET /cached", "GET /all", "GET /cached?x", "GET /unmatched", "POST /cached", "PUT /unmatched",
	} {
		content := "Content-Length: 0\r\n\r\n"
		if !strings.HasPrefix(request, "GET") {
			content = "TE: trailers\r\nTransfer-Encoding: chunked\r\nTrailer: X-Forwarded-For\r\n\r\n1\r\nx\r\n0\r\n" + fields +
				"Authorization: " + forged + "\r\nHost: " + forged + "\r\nContent-Length: 3\r\nTransfer-Encoding: " + forged + "\r\nGrpc-Status: 0\r\n\r\n"
		}
		heads := exchangeRaw(t, r, request+" HTTP/1.1\r\nHost: a\r\nConnection: close\r\n"+fields+content)
		if !strings.HasPrefix(heads[0], "HTTP/1.1 200 ") {
			t.Errorf("%s: %q", request, heads)
		}
		for _, name := range []string{"Cache-Control", "Set-Cookie"} {
			if strings.Contains(strings.Join(heads[1:], ""), name) {
				t.Errorf("%s: the trailer has %s: %q", request, name, heads[1:])
			}
		}
		if !strings.Contains(strings.Join(heads[1:], ""), "Grpc-Status") {
			t.Errorf("%s: the trailer has lost what is its own: %q", request, heads[1:])
		}
	}
	mu.Lock()
	defer mu.Unlock()
	if len(headers) != 12 {
		t.Fatalf("the origin was asked %d times", len(headers)/2)
	}
	for _, h := range headers {
		for name, lines := range h {
			if slices.ContainsFunc(lines, func(line string) bool { return strings.Contains(line, forged) }) {
				t.Errorf("the origin got %s: %s", name, lines)
			}
		}
	}
}
