//go:build !race

package instance

import (
	"bytes"
	"context"
	"io"
	"strings"
	"testing"

	"cacheproxy/proxy"
	"cacheproxy/proxy/hit"
	"cacheproxy/proxy/server"
)

// An answer from memory allocates nothing, from the bytes of the request to those of the answer. One in a hundred is logged, which does.
func TestHitPathAllocations(t *testing.T) {
	for name, c := range map[string]struct {
		method, fields string
	}{
		"GET":    {"GET", browserFields},
		"plain":  {"GET", ""},
		"HEAD":   {"HEAD", browserFields},
		"folded": {"GET", "user-agent: a\r\nACCEPT: */*\r\n"},
		"304":    {"GET", browserFields + notModified},
		"last":   {"GET", browserFields + "Connection: close\r\n"},
	} {
		prime := c.fields
		if name == "304" {
			prime = browserFields
		}
		path := hotPath(t, "log: {hits: 0%}\n"+oneRoute, prime)
		head := []byte(c.method + " /2048/1 HTTP/1.1\r\nHost: shop.example\r\n" + c.fields + "\r\n")
		got := testing.AllocsPerRun(1000, func() {
			if _, what := path.Answer(io.Discard, "192.0.2.1:1234", head, true); what != server.Answered && what != server.Last {
				t.Fatal(what)
			}
		})
		if got > 0 {
			t.Errorf("%s: %v allocations", name, got)
		}
	}
}

// Nothing refers to the bytes of a request any more when it is answered, or when it was not: what comes next may be written over them.
func TestHitPathKeepsNothing(t *testing.T) {
	var log bytes.Buffer
	i := hot(t, "log: {hits: 100%, others: 0%}\n"+oneRoute, browserFields, &log)
	path := hit.New(proxy.NewHits(i.proxy))
	hit := "GET /2048/1 HTTP/1.1\r\nHost: shop.example\r\n" + browserFields + "\r\n"
	buffer := make([]byte, 0, 4096)
	for n := range 500 {
		buffer = append(buffer[:0], hit...)
		if n%2 == 1 {
			buffer = append(buffer[:0], "GET /2048/2 HTTP/1.1\r\nHost: shop.example\r\n\r\n"...)
		}
		_, what := path.Answer(io.Discard, "192.0.2.1:1234", buffer, true)
		if (what == server.Answered) != (n%2 == 0) {
			t.Fatalf("request %d is %v", n, what)
		}
		for i := range buffer {
			buffer[i] = 'Z'
		}
	}
	over, end := context.WithCancel(t.Context())
	end()
	if err := i.lines.Run(over); err != nil { // what waits is written
		t.Fatal(err)
	}
	if n := strings.Count(log.String(), `"/2048/1"`); n != 250 || strings.Contains(log.String(), "ZZ") {
		t.Errorf("%d lines of 250, or lines of another text: %.500s", n, log.String())
	}
}
