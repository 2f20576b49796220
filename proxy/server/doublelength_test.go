package server

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"regexp"
	"testing"
)

// A request with two lengths is the last of its connection (RFC 9112 §6.1), however it is cut into packets; one that is
// only chunked is not.
func TestTwoLengths(t *testing.T) {
	for _, c := range []struct {
		name   string
		parts  []string
		close  bool
		status int
	}{
		{"chunked", []string{"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"}, false, 200},
		{"both", []string{"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"}, true, 200},
		{"both, in pieces", []string{"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\ncOnTe", "nt-lengt", "h: 5\r\n\r\n0\r\n\r\n"}, true, 200},
		{"named in a value", []string{"POST / HTTP/1.1\r\nHost: a\r\nX: Content-Length\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"}, false, 200},
		{"a coding in HTTP/1.0", []string{"POST / HTTP/1.0\r\nConnection: keep-alive\r\nContent-Length: 1\r\ntransfer-", "Encoding: chunked\r\n\r\nx"}, true, 400},
		{"a coding before a length in HTTP/1.0", []string{"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\nContent-Length: 1\r\n\r", "\nx"}, true, 400},
		{"a line of the content in HTTP/1.0", []string{"POST / HTTP/1.0\r\nConnection: keep-alive\r\nContent-Length: 28\r\n\r", "\nTransfer-Encoding: chunked\r\n"}, true, 200},
		{"a coding in HTTP/1.0, and no length", []string{"PUT / HTTP/1.0\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n"}, true, 400},
		{"HTTP/1.0", []string{"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"}, false, 200},
		{"a length alone", []string{"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx"}, false, 200},
	} {
		inFront(t, Limits{}, func(s *front) {
			conn := s.dial()
			for _, part := range c.parts {
				io.WriteString(conn, part)
			}
			res, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err != nil || res.StatusCode != c.status || res.Close != c.close {
				t.Errorf("%s: %v, %v; want %d, closing %v", c.name, res, err, c.status, c.close)
			}
		})
	}
}

var lengthLine = regexp.MustCompile(`(?i)(?:^|\n)content-length`)

func FuzzLengthWatch(f *testing.F) {
	f.Add([]byte("GET / HTTP/1.1\r\nContent-Length: 1"), 3)
	f.Add([]byte("content-lengtcontent-length\ncontent-\nContent-Length"), 1)
	f.Fuzz(func(t *testing.T, b []byte, piece int) {
		w := fieldWatch{name: lengthField}
		for rest := b; len(rest) > 0; {
			n := min(len(rest), max(1, piece))
			w.see(rest[:n])
			rest = rest[n:]
		}
		// In Unicode, which headers are not written in, more letters are alike.
		if want := lengthLine.Match(bytes.Map(asciiOnly, b)); w.found != want {
			t.Errorf("found %v in %q", w.found, b)
		}
	})
}

func asciiOnly(r rune) rune {
	if r > 127 {
		return '?'
	}
	return r
}
