package upstream

import (
	"net/http"
	"reflect"
	"testing"
)

func TestJoinNames(t *testing.T) {
	for _, tt := range []struct {
		about     string
		h, joined http.Header // nil: refused
	}{
		{"nothing to do", http.Header{"A": {"1"}}, http.Header{"A": {"1"}}},
		{"space before the colon (RFC 9112 §5.1)", http.Header{"cache-control ": {"private"}}, http.Header{"Cache-Control": {"private"}}},
		{"beside the same field without", http.Header{"Vary": {"a"}, "Vary  ": {"b"}}, http.Header{"Vary": {"a", "b"}}},
		{"space within a name stays what it is", http.Header{"Cache Control": {"1"}}, http.Header{"Cache Control": {"1"}}},
		{"no name", http.Header{" ": {"1"}}, http.Header{}},
		{"what frames the message", http.Header{"content-length ": {"1"}}, nil},
		{"likewise", http.Header{"Transfer-Encoding ": {"chunked"}}, nil},
	} {
		err := joinNames(tt.h)
		if (err != nil) != (tt.joined == nil) || err == nil && !reflect.DeepEqual(tt.h, tt.joined) {
			t.Errorf("%s: %v, %v", tt.about, tt.h, err)
		}
	}
}
