package server

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
)

// With the answer to a client that wants no other the connection ends, and what follows gets none; alone, behind others, and in pieces.
func TestHitsLast(t *testing.T) {
	const last, all = "GET /hit?last HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n"
	for _, c := range []struct {
		pieces []string
		want   []string
	}{
		{[]string{last}, []string{"hit"}},
		{[]string{aHit, last}, []string{"hit", "hit"}},
		{[]string{aHit + last}, []string{"hit", "hit"}},
		{[]string{last + aHit}, []string{"hit"}},
		{[]string{aHit + last + aWrite}, []string{"hit", "hit"}},
		{[]string{aMiss, last + aHit}, []string{"ok", "hit"}},
		{[]string{last[:30], last[30:]}, []string{"hit"}},
	} {
		hits := &someHits{}
		inFrontWith(t, Limits{}, Options{Hits: hits}, plainListener, func(s *front) {
			conn := s.dial()
			go func() {
				for _, piece := range c.pieces {
					fmt.Fprint(conn, piece)
				}
			}()
			got, err := io.ReadAll(conn) // it ends, and without a deadline
			if bodies := answered(string(got)); err != nil || !slices.Equal(bodies, c.want) || !strings.HasPrefix(string(got[max(0, bytes.LastIndex(got, []byte("HTTP/1.1"))):]), all+"Connection: close\r\n\r\n") {
				t.Errorf("%q is answered %q, %v", c.pieces, got, err)
			}
			synctest.Wait()
			if n := s.conns.Counts(); n.Open != 0 {
				t.Errorf("%q: afterwards %+v", c.pieces, n)
			}
		})
	}
}
