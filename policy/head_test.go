package policy

import "testing"

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
