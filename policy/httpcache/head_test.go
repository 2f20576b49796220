package httpcache

import (
	"net/http"
	"testing"
)

func TestHeadContradicts(t *testing.T) {
	stored := header(`ETag: "a"`, "Content-Length: 5", "Last-Modified: l")
	tests := []struct {
		about string
		lines []string
		want  bool
	}{
		{"the same (RFC 9111 §4.3.5)", []string{`ETag: "a"`, "Content-Length: 5", "Last-Modified: l"}, false},
		{"another ETag", []string{`ETag: "b"`, "Content-Length: 5"}, true},
		{"another length", []string{`ETag: "a"`, "Content-Length: 6"}, true},
		{"another Last-Modified", []string{"Last-Modified: m"}, true},
		{"nothing of it", []string{"X: 1"}, false},
		{"what the copy does not say", []string{"Content-Encoding: br"}, false},
	}
	for _, tt := range tests {
		if got := HeadContradicts(stored, header(tt.lines...)); got != tt.want {
			t.Errorf("%s: %v", tt.about, got)
		}
	}
}

func TestHeadConfirms(t *testing.T) {
	tests := []struct {
		about        string
		stored, head http.Header
		want         bool
	}{
		{"the copy's ETag (RFC 9111 §4.3.5)", header(`ETag: "a"`), header(`ETag: "a"`), true},
		{"its date", header("Last-Modified: " + httpDate(0)), header("Last-Modified: " + httpDate(0)), true},
		{"nothing to tell", header(`ETag: "a"`), header("Content-Length: 5"), false},
		{"what the copy does not have", header("Content-Length: 5"), header(`ETag: "a"`), false},
		{"another", header(`ETag: "a"`), header(`ETag: "b"`), false},
		{"a strong one for a weak one", header(`ETag: W/"a"`), header(`ETag: "a"`), false},
		{"one that cannot be read, the same", header("ETag: a"), header("ETag: a"), true},
		{"one that cannot be read, another", header("ETag: a"), header("ETag: A"), false},
		{"one that cannot be read for one that can", header(`ETag: W/"a"`), header("ETag: a"), false},
	}
	for _, tt := range tests {
		if got := HeadConfirms(tt.stored, tt.head); got != tt.want {
			t.Errorf("%s: %v", tt.about, got)
		}
	}
}
