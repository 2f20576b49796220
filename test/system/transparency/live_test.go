package transparency

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
)

// What each end sends arrives before the other says anything more, whichever way it goes.
func TestNothingIsHeldBack(t *testing.T) {
	for name, route := range ways {
		_, proxy := through(t, route)
		address := strings.TrimPrefix(proxy.URL, "http://")
		t.Run(name, func(t *testing.T) {
			for _, h2 := range []bool{false, true} {
				t.Run(map[bool]string{false: "HTTP/1.1", true: "HTTP/2"}[h2], func(t *testing.T) {
					c := newClient(address, h2)
					defer c.transport.CloseIdleConnections()
					for _, path := range []string{"/live/pieces", "/live/events"} {
						listen(t, c, path, fmt.Sprint("h2=", h2)) // nobody has a copy of it
					}
					talk(t, c)
				})
			}
			t.Run("upgrade", func(t *testing.T) { upgrade(t, address) })
		})
	}
}

func send(t *testing.T, c *client, method, path, query string, body io.ReadCloser) *http.Response {
	t.Helper()
	length := int64(0)
	if body != nil {
		length = -1
	}
	res, err := c.transport.RoundTrip((&http.Request{
		Method: method, URL: &url.URL{Scheme: "http", Host: site, Path: path, RawQuery: query}, Host: site, Header: http.Header{"Content-Type": {"text/plain"}}, Body: body, ContentLength: length,
	}).WithContext(t.Context()))
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	return res
}

// listen reads an answer of which each piece waits for the word that the one before has come.
func listen(t *testing.T, c *client, path, query string) {
	t.Helper()
	res := send(t, c, "GET", path, query, nil)
	defer res.Body.Close()
	lines := bufio.NewReader(res.Body)
	for i := range 3 {
		if line, err := lines.ReadString('\n'); err != nil || line != fmt.Sprintf("data: %d\n", i) {
			t.Fatalf("%s: %q, %v", path, line, err)
		}
		_, _ = lines.ReadString('\n')
		select {
		case goOn <- struct{}{}:
		case <-time.After(patience):
			t.Fatalf("%s: the API does not go on", path)
		}
	}
	if rest, err := io.ReadAll(lines); err != nil || len(rest) > 0 {
		t.Errorf("%s: ends with %q, %v", path, rest, err)
	}
}

// talk sends each piece of a content when the one before was answered.
func talk(t *testing.T, c *client) {
	t.Helper()
	body, say := io.Pipe()
	end := time.AfterFunc(patience, func() { say.CloseWithError(io.ErrUnexpectedEOF) })
	defer end.Stop()
	go func() { _, _ = io.WriteString(say, "first") }()
	res := send(t, c, "POST", "/live/talk", "", body)
	defer res.Body.Close()
	heard := bufio.NewReader(res.Body)
	for _, word := range []string{"first", "second", "third"} {
		if word != "first" {
			_, _ = io.WriteString(say, word)
		}
		if got, err := heard.ReadString('!'); err != nil || got != word+"!" {
			t.Fatalf("talk: %q, %v; want %q", got, err, word)
		}
	}
	say.Close()
	if rest, err := io.ReadAll(heard); err != nil || len(rest) > 0 {
		t.Errorf("talk: ends with %q, %v", rest, err)
	}
}

// upgrade changes to another protocol, in which both sides say what they like.
func upgrade(t *testing.T, address string) {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(patience))
	fmt.Fprintf(conn, "GET /live/upgrade HTTP/1.1\r\nHost: %s\r\nConnection: Upgrade\r\nUpgrade: echo/1\r\n\r\n", site)
	r := bufio.NewReader(conn)
	res, err := http.ReadResponse(r, nil)
	if err != nil || res.StatusCode != http.StatusSwitchingProtocols || res.Header.Get("Upgrade") != "echo/1" {
		t.Fatalf("%v, %v", res, err)
	}
	for _, word := range []string{"one\n", "\x00\xff two\n"} {
		_, _ = io.WriteString(conn, word)
		if got, err := r.ReadString('\n'); err != nil || got != word {
			t.Fatalf("%q, %v; want %q", got, err, word)
		}
	}
}
