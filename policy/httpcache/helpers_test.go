package httpcache

import (
	"net/http"
	"testing"
	"time"
)

// header is a header of lines like "Name: value".
func header(lines ...string) http.Header {
	h := http.Header{}
	for _, line := range lines {
		for i := range len(line) {
			if line[i] == ':' {
				h.Add(line[:i], line[min(i+2, len(line)):])
				break
			}
		}
	}
	return h
}

func httpDate(d time.Duration) string { return epoch.Add(d).Format(http.TimeFormat) }

func target(t testing.TB, uri string) Target {
	t.Helper()
	u, err := ParseTarget("http", "shop.example", uri)
	if err != nil {
		t.Fatal(err)
	}
	return u
}
