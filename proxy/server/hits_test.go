package server

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// someHits answers what asks for /hit. It takes heads by their empty line.
type someHits struct {
	asked   []string // what it has answered
	clients []string
	waits   []bool        // of each that it has answered
	begun   chan struct{} // if not nil, it says that it answers, and waits
	resume  chan struct{}
	mu      sync.Mutex
}

func (h *someHits) Answer(to io.Writer, client string, sent []byte, waits bool) (int, Verdict) {
	end := bytes.Index(sent, []byte("\r\n\r\n"))
	switch line, _, _ := strings.Cut(string(sent), "\r\n"); {
	case !bytes.HasPrefix(sent, []byte("GET ")[:min(4, len(sent))]) || bytes.Contains(sent[:max(end, 0)], []byte("Content-Length")):
		return 0, Other
	case end < 0:
		return 0, Incomplete
	case !strings.HasPrefix(line, "GET /hit"):
		return end + 4, Single
	default:
		h.mu.Lock()
		h.asked, h.clients, h.waits = append(h.asked, line), append(h.clients, client), append(h.waits, waits)
		h.mu.Unlock()
		if h.begun != nil {
			h.begun <- struct{}{}
			<-h.resume
		}
		if strings.HasPrefix(line, "GET /hit/breaks ") {
			io.WriteString(to, "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nh")
			return end + 4, Broken
		}
		fields, what := "Content-Length: 3\r\n", Answered
		if bytes.Contains(sent[:end+4], []byte("\r\nConnection: close\r\n")) {
			fields, what = fields+"Connection: close\r\n", Last
		}
		if _, err := io.WriteString(to, "HTTP/1.1 200 OK\r\n"+fields+"\r\nhit"); err != nil {
			return end + 4, Broken
		}
		return end + 4, what
	}
}

func plainListener(ln net.Listener) net.Listener { return ln }

const (
	aHit   = "GET /hit HTTP/1.1\r\nHost: a\r\n\r\n"
	aMiss  = "GET /miss HTTP/1.1\r\nHost: a\r\n\r\n"
	aWrite = "POST /hit HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nab"
)

// answered is the bodies of answers, in order.
func answered(all string) (bodies []string) {
	r := bufio.NewReader(strings.NewReader(all))
	for {
		res, err := http.ReadResponse(r, nil)
		if err != nil {
			return bodies
		}
		body, _ := io.ReadAll(res.Body) // whatever there is of it
		bodies = append(bodies, string(body))
	}
}

// A connection ends when it would without Hits, whatever is answered on it and however it comes, to the millisecond.
func TestHitsDeadlines(t *testing.T) {
	type step struct {
		after time.Duration
		send  string
	}
	pieces := []step{{0, aHit}}
	for i := range "GET /miss HTTP/1.1" {
		pieces = append(pieces, step{900 * time.Millisecond, "GET /miss HTTP/1.1"[i : i+1]})
	}
	for name, steps := range map[string][]step{
		"nothing":                                {},
		"a hit":                                  {{0, aHit}},
		"a late hit":                             {{9 * time.Second, aHit}},
		"two hits":                               {{time.Second, aHit}, {60 * time.Second, aHit}},
		"hits for long":                          {{0, aHit}, {70 * time.Second, aHit}, {70 * time.Second, aHit}, {74 * time.Second, aHit}, {time.Second, aHit}},
		"a hit and part of a head":               {{0, aHit}, {60 * time.Second, "GET /h"}},
		"a hit and less than a method":           {{0, aHit}, {60 * time.Second, "GE"}},
		"a hit and an empty line":                {{0, aHit}, {60 * time.Second, "\r\n"}},
		"a hit with an empty line":               {{0, aHit + "\r\n"}},
		"a hit and a line feed":                  {{0, aHit}, {60 * time.Second, "\n"}},
		"a hit and an empty line in parts":       {{0, aHit}, {60 * time.Second, "\r"}, {time.Second, "\n"}},
		"a hit and three other bytes":            {{0, aHit}, {60 * time.Second, "\x00\x01\x02"}},
		"a hit and two empty lines":              {{0, aHit}, {60 * time.Second, "\r\n"}, {8 * time.Second, "\r\n"}},
		"a hit, an empty line, and a hit":        {{0, aHit}, {time.Second, "\r\n"}, {60 * time.Second, aHit}},
		"a miss, a hit, and an empty line":       {{0, aMiss}, {60 * time.Second, aHit}, {60 * time.Second, "\r\n"}},
		"a miss and an empty line":               {{0, aMiss}, {60 * time.Second, "\r\n"}},
		"an empty line and a hit":                {{time.Second, "\r\n"}, {time.Second, aHit}},
		"part of the first head":                 {{3 * time.Second, "GET /h"}},
		"the first head in parts":                {{3 * time.Second, "GET /hi"}, {5 * time.Second, "t HTTP/1.1\r\nHost: a\r\n\r\n"}},
		"a hit and part of a write":              {{9 * time.Second, aHit}, {500 * time.Millisecond, "POST /a HTTP/1.1\r\nHo"}},
		"a miss":                                 {{0, aMiss}},
		"a miss and a hit":                       {{0, aMiss}, {60 * time.Second, aHit}},
		"a miss and part of a head":              {{0, aMiss}, {60 * time.Second, "GET /hi"}},
		"a hit and a miss":                       {{0, aHit}, {60 * time.Second, aMiss}},
		"a hit and a head in pieces":             pieces,
		"a hit and a head that is too long":      {{0, aHit}, {time.Second, "GET /hit HTTP/1.1\r\nX: " + strings.Repeat("x", 3000)}, {time.Second, strings.Repeat("x", 3000)}},
		"a hit and a head in parts, and a hit":   {{0, aHit}, {time.Second, "GET /hit HTTP/1.1\r\n"}, {8 * time.Second, "Host: a\r\n\r\n"}, {60 * time.Second, aHit}},
		"a write and a hit":                      {{0, aWrite}, {60 * time.Second, aHit}},
		"a hit, a write, and a hit":              {{0, aHit}, {time.Second, aWrite}, {60 * time.Second, aHit}},
		"a miss and what is pipelined behind it": {{0, aMiss + aHit}, {60 * time.Second, aHit}},
	} {
		ends := func(h Hits) (at time.Duration, answers int) {
			inFrontWith(t, Limits{}, Options{Hits: h}, plainListener, func(s *front) {
				conn, began := s.dial(), time.Now()
				ended := make(chan string)
				go func() {
					all, _ := io.ReadAll(conn) // to its end, however it ends
					at = time.Since(began)
					ended <- string(all)
				}()
				over := make(chan struct{})
				defer close(over)
				go func() {
					for _, step := range steps {
						select {
						case <-time.After(step.after):
							io.WriteString(conn, step.send)
						case <-over:
							return
						}
					}
				}()
				answers = len(answered(<-ended))
			})
			return at, answers
		}
		at, answers := ends(&someHits{})
		wantAt, wantAnswers := ends(nil)
		if at != wantAt || answers != wantAnswers {
			t.Errorf("%s: ends after %v with %d answers, without Hits after %v with %d", name, at, answers, wantAt, wantAnswers)
		}
	}
}

// What is pipelined is answered in its order, by whomever.
func TestHitsPipelined(t *testing.T) {
	for sent, want := range map[string][]string{
		aHit + aHit + aHit: {"hit", "hit", "hit"}, aHit + aMiss + aHit: {"hit", "/miss", "hit"}, aMiss + aHit: {"/miss", "hit"}, aWrite + aHit: {"/hit", "/hit"},
		aHit + aWrite + aHit: {"hit", "/hit", "/hit"},
	} {
		inFrontWith(t, Limits{}, Options{Hits: &someHits{}}, plainListener, func(s *front) {
			s.handle = func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, r.URL.Path) }
			conn := s.dial()
			go io.WriteString(conn, sent)
			all, _ := io.ReadAll(conn) // until it was idle for long
			if got := answered(string(all)); !slices.Equal(got, want) {
				t.Errorf("%q is answered %q, want %q", sent, got, want)
			}
		})
	}
}

// An answer that breaks off takes none with it that is before it on the connection.
func TestHitsBeforeOneThatBreaksOff(t *testing.T) {
	inFrontWith(t, Limits{}, Options{Hits: &someHits{}}, plainListener, func(s *front) {
		conn := s.dial()
		go io.WriteString(conn, aHit+strings.Replace(aHit, "/hit", "/hit/breaks", 1)+aHit)
		all, _ := io.ReadAll(conn) // to the end of the connection
		if got, want := answered(string(all)), []string{"hit", "h"}; !slices.Equal(got, want) {
			t.Errorf("answered %q, want %q", got, want)
		}
	})
}

// Of what is pipelined only the first is waited for: else what is answered already would wait with it.
func TestHitsWaitForNoOther(t *testing.T) {
	hits := &someHits{}
	inFrontWith(t, Limits{}, Options{Hits: hits}, plainListener, func(s *front) {
		conn := s.dial()
		go io.WriteString(conn, aHit+aHit+aHit)
		_, _ = io.ReadAll(conn) // until it was idle for long
		if want := []bool{true, false, false}; !slices.Equal(hits.waits, want) {
			t.Errorf("waits %v, want %v", hits.waits, want)
		}
	})
}

// Hits sees every request behind requests of net/http's without content, those too that a client sends ahead of an answer.
func TestHitsBoundaries(t *testing.T) {
	hits := &someHits{}
	inFrontWith(t, Limits{}, Options{Hits: hits}, plainListener, func(s *front) {
		conn := s.dial()
		s.ask(conn, "/miss")
		s.ask(conn, "/hit/1")
		s.ask(conn, "/miss")
		s.ask(conn, "/hit/2")
		release := make(chan struct{})
		s.handle = func(w http.ResponseWriter, _ *http.Request) { <-release; io.WriteString(w, "ok") }
		go func() {
			io.WriteString(conn, aMiss)
			io.WriteString(conn, aHit) // of which net/http would read the first byte
		}()
		synctest.Wait()
		close(release)
		r := bufio.NewReader(conn)
		for range 2 {
			res, err := http.ReadResponse(r, nil)
			if err != nil {
				t.Fatal(err)
			}
			io.Copy(io.Discard, res.Body)
		}
		s.ask(conn, "/hit/3")
		if want := []string{"GET /hit/1 HTTP/1.1", "GET /hit/2 HTTP/1.1", "GET /hit HTTP/1.1", "GET /hit/3 HTTP/1.1"}; !slices.Equal(hits.asked, want) {
			t.Errorf("Hits has answered %q, want %q", hits.asked, want)
		}
	})
}

// A client that leaves while net/http answers is seen to.
func TestHitsClientLeaves(t *testing.T) {
	inFrontWith(t, Limits{}, Options{Hits: &someHits{}}, plainListener, func(s *front) {
		left := make(chan struct{})
		s.handle = func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done(); close(left) }
		conn := s.dial()
		s.ask(conn, "/hit")
		fmt.Fprint(conn, aMiss)
		conn.Close()
		<-left
	})
}

// An answer that is being written when the server ends comes to its end, and so does the server; what waits is closed at once.
func TestHitsShutdown(t *testing.T) {
	for _, first := range []string{"", aMiss} { // a connection of which net/http has seen nothing, and one that it takes to be idle
		hits := &someHits{}
		inFrontWith(t, Limits{}, Options{Hits: hits}, plainListener, func(s *front) {
			hits.begun, hits.resume = make(chan struct{}), make(chan struct{})
			conn, waits := s.dial(), s.dial()
			go fmt.Fprint(waits, aHit)
			<-hits.begun
			hits.resume <- struct{}{}
			if _, err := io.ReadFull(waits, make([]byte, len("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nhit"))); err != nil {
				t.Fatal(err)
			}
			if first != "" {
				s.ask(conn, "/miss")
			}
			go fmt.Fprint(conn, aHit)
			<-hits.begun
			synctest.Wait() // what waits has its answer, and its server has heard of that
			ended := make(chan error, 1)
			began := time.Now()
			go func() { ended <- s.srv.Shutdown(context.Background()) }()
			<-time.After(time.Second)
			if isOpen(waits) {
				t.Errorf("after %q: what waits is open when the server ends", first)
			}
			<-time.After(6 * time.Second)
			conn.SetReadDeadline(time.Time{})
			hits.resume <- struct{}{}
			all, err := io.ReadAll(conn)
			if got := answered(string(all)); err != nil || !slices.Equal(got, []string{"hit"}) {
				t.Errorf("after %q: the answer is %q: %v", first, all, err)
			}
			if err := <-ended; err != nil || time.Since(began) > 9*time.Second {
				t.Errorf("after %q: the server ends after %v: %v", first, time.Since(began), err)
			}
		})
	}
}

// Before the end every answer says that its connection ends; Hits, which cannot, is not asked.
func TestHitsRetire(t *testing.T) {
	hits := &someHits{}
	inFrontWith(t, Limits{}, Options{Hits: hits}, plainListener, func(s *front) {
		conn := s.dial()
		if res := s.ask(conn, "/hit"); res.Close {
			t.Error("asked to close before the end")
		}
		s.conns.Retire()
		if res := s.ask(conn, "/hit"); !res.Close || len(hits.asked) != 1 {
			t.Errorf("not asked to close, or by Hits: %q", hits.asked)
		}
	})
}

// A connection on which Hits answers is at work, and waits afterwards: for another, and for the end.
func TestHitsAtWork(t *testing.T) {
	hits := &someHits{}
	inFrontWith(t, Limits{MaxConnections: 1}, Options{Hits: hits}, plainListener, func(s *front) {
		hits.begun, hits.resume = make(chan struct{}), make(chan struct{})
		conn := s.dial()
		go fmt.Fprint(conn, aHit)
		<-hits.begun
		other := make(chan net.Conn)
		go func() { other <- s.dial() }()
		<-time.After(time.Minute)
		if n := s.conns.Counts(); n.Open != 1 || n.AtWork != 1 || n.Reclaimed != 0 {
			t.Errorf("while it answers: %+v", n)
		}
		go func() { hits.resume <- struct{}{} }()
		all, _ := io.ReadAll(conn) // until it gives way
		if got := answered(string(all)); !slices.Equal(got, []string{"hit"}) {
			t.Errorf("answered %q", got)
		}
		<-other
		if n := s.conns.Counts(); n.Reclaimed != 1 {
			t.Errorf("afterwards: %+v", n)
		}
	})
}

// The client that a proxy introduces is the one that Hits is told, and its first request may come with that.
func TestHitsIntroduced(t *testing.T) {
	hits := &someHits{}
	conns := NewConnections(Limits{})
	srv := New(echo, Options{Hits: hits, Connections: conns, Log: slog.New(slog.DiscardHandler)})
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- srv.Serve(conns.Listen(ln, netip.MustParsePrefix("127.0.0.0/8"))) }()
	defer func() { srv.Close(); <-ended }()
	conn, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprint(conn, "PROXY TCP4 192.0.2.7 198.51.100.1 4321 80\r\n"+aHit+aHit)
	r := bufio.NewReader(conn)
	for range 2 {
		res, err := http.ReadResponse(r, nil)
		if err != nil {
			t.Fatal(err)
		}
		io.Copy(io.Discard, res.Body)
	}
	if want := "192.0.2.7:4321"; len(hits.clients) != 2 || hits.clients[0] != want || hits.clients[1] != want {
		t.Errorf("the clients are %q", hits.clients)
	}
}

// Content that reads like a request is none, whatever it follows and however it comes.
func TestHitsContent(t *testing.T) {
	head := fmt.Sprintf("POST /miss HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n", len(aHit))
	for _, pieces := range [][]string{{head, aHit}, {head + aHit}, {aMiss + head, aHit}, {aMiss + head + aHit[:4], aHit[4:]}, {aHit + head, aHit}, {aMiss, head, aHit}, {aMiss + head[:20], head[20:], aHit}} {
		hits := &someHits{}
		inFrontWith(t, Limits{}, Options{Hits: hits}, plainListener, func(s *front) {
			s.handle = func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(w, r.Body) }
			conn := s.dial()
			go func() {
				for _, piece := range pieces {
					io.WriteString(conn, piece)
					synctest.Wait()
				}
			}()
			all, _ := io.ReadAll(conn) // until it was idle for long
			got, want := answered(string(all)), strings.Count(strings.Join(pieces, ""), "Host: a\r\n")-1
			if len(got) != want || got[len(got)-1] != aHit || len(hits.asked) != strings.Count(pieces[0], aHit+"POST") {
				t.Errorf("%q: answered %q, by Hits %q", pieces, got, hits.asked)
			}
		})
	}
}

// A client that takes nothing of an answer loses its connection after one write timeout, and is counted once, whoever answers it.
func TestHitsStalled(t *testing.T) {
	for _, before := range []string{"", aMiss} {
		for _, hits := range []Hits{&someHits{}, nil} {
			inFrontWith(t, Limits{WriteTimeout: 10 * time.Second}, Options{Hits: hits}, plainListener, func(s *front) {
				conn := s.dial()
				if before != "" {
					s.ask(conn, "/miss")
				}
				fmt.Fprint(conn, aHit)
				for _, after := range []time.Duration{9 * time.Second, 2 * time.Second, time.Minute} {
					ended := after != 9*time.Second
					<-time.After(after)
					if n := s.conns.Counts(); (n.Open == 0) != ended || (n.Stalled == 1) != ended {
						t.Errorf("behind %q, Hits %v, ended %v: %+v", before, hits != nil, ended, n)
					}
				}
			})
		}
	}
}

// A client that does not wait for its answers gets those of hits in one piece, in their order, up to what is none.
func TestHitsInRowGoOutTogether(t *testing.T) {
	one := "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nhit"
	for name, c := range map[string]struct {
		sent  string
		first string // that comes at once
		all   []string
	}{
		"one":                   {aHit, one, []string{"hit"}},
		"three":                 {aHit + aHit + aHit, one + one + one, []string{"hit", "hit", "hit"}},
		"two and part of one":   {aHit + aHit + "GET /hit HTTP", one + one, []string{"hit", "hit"}},
		"two before a miss":     {aHit + aHit + aMiss, one + one, []string{"hit", "hit", "ok"}},
		"a miss before one":     {aMiss + aHit, "", []string{"ok", "hit"}},
		"one among hits":        {aHit + aMiss + aHit + aMiss + aMiss + aHit + aHit, one, []string{"hit", "ok", "hit", "ok", "ok", "hit", "hit"}},
		"two before a write":    {aHit + aHit + aWrite, one + one, []string{"hit", "hit", "ok"}},
		"two before a fault":    {aHit + aHit + "\x00\r\n\r\n", one + one, []string{"hit", "hit", "400 Bad Request"}},
		"more than is gathered": {strings.Repeat(aHit, 100), "", slices.Repeat([]string{"hit"}, 100)},
	} {
		inFrontWith(t, Limits{}, Options{Hits: &someHits{}}, plainListener, func(s *front) {
			conn := s.dial()
			go io.WriteString(conn, c.sent)
			piece := make([]byte, 4<<10)
			n, err := conn.Read(piece)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if c.first != "" && string(piece[:n]) != c.first {
				t.Errorf("%s: first comes %q, want %q", name, piece[:n], c.first)
			}
			all := bufio.NewReader(io.MultiReader(bytes.NewReader(piece[:n]), conn))
			var got []string
			for range c.all {
				res, err := http.ReadResponse(all, nil)
				if err != nil {
					t.Fatalf("%s: %v after %q", name, err, got)
				}
				body, _ := io.ReadAll(res.Body) // whatever there is of it
				got = append(got, strings.TrimSpace(string(body)))
			}
			if !slices.Equal(got, c.all) {
				t.Errorf("%s: %q, want %q", name, got, c.all)
			}
		})
	}
}
