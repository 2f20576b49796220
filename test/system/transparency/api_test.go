package transparency

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"cacheproxy/test/wire"
)

// request is what the API has heard.
type request struct {
	line    string // method and target
	host    string
	header  http.Header
	body    [sha256.Size]byte
	length  int
	trailer http.Header
	err     string // in place of the end of the body
}

// api answers by the path, the same to the same, and remembers what it has heard.
type api struct {
	address string

	mu    sync.Mutex
	heard []request // guarded by mu
}

func newAPI(t *testing.T) *api {
	a := &api{}
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	ln := wire.Listen(t)
	a.address = ln.Addr().String()
	wire.Serve(t, &http.Server{Handler: a, Protocols: protocols}, ln)
	return a
}

// take is what was heard since it was called last.
func (a *api) take() []request {
	a.mu.Lock()
	defer a.mu.Unlock()
	all := a.heard
	a.heard = nil
	return all
}

func (a *api) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if strings.HasPrefix(r.URL.Path, "/live/") {
		live(w, r)
		return
	}
	h := request{line: r.Method + " " + r.RequestURI, host: r.Host, header: r.Header.Clone()}
	if r.URL.Path == "/refused" { // before its content is asked for
		a.hear(h)
		w.Header().Set("Connection", "close")
		w.WriteHeader(http.StatusExpectationFailed)
		return
	}
	body, err := io.ReadAll(r.Body)
	h.body, h.length, h.trailer = sha256.Sum256(body), len(body), r.Trailer.Clone()
	if err != nil {
		h.err = "cut"
	}
	a.hear(h)
	segment, rest, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	if answer := answers[segment]; answer != nil {
		answer(w, r, rest, body)
		return
	}
	w.Header().Set("Content-Type", "text/plain")
	fmt.Fprintf(w, "%s %s of %d bytes\n", r.Method, r.RequestURI, len(body))
}

func (a *api) hear(h request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.heard = append(a.heard, h)
}

var (
	modified = time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
	large    = bytes.Repeat([]byte("0123456789abcdef"), 200_000)
)

// live are the answers that go on for as long as the client says something, by the path.
func live(w http.ResponseWriter, r *http.Request) {
	control := http.NewResponseController(w)
	switch r.URL.Path {
	case "/live/talk": // each piece of the content is answered before the next is sent
		_ = control.EnableFullDuplex()
		control.Flush()
		for b := make([]byte, 100); ; {
			n, err := r.Body.Read(b)
			if n > 0 {
				fmt.Fprintf(w, "%s!", b[:n])
				control.Flush()
			}
			if err != nil {
				return
			}
		}
	case "/live/events":
		w.Header().Set("Content-Type", "text/event-stream")
		fallthrough
	case "/live/pieces":
		for i := range 3 {
			fmt.Fprintf(w, "data: %d\n\n", i)
			control.Flush()
			select {
			case <-goOn:
			case <-r.Context().Done():
				return
			}
		}
	case "/live/upgrade":
		conn, rw, err := control.Hijack()
		if err != nil {
			return
		}
		defer conn.Close()
		fmt.Fprintf(rw, "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: %s\r\n\r\n", r.Header.Get("Upgrade"))
		rw.Flush()
		io.Copy(conn, rw)
	}
}

// goOn is told by the client that it has got a piece.
var goOn = make(chan struct{})

// answers are what the API says, by the first segment of the path.
var answers = map[string]func(w http.ResponseWriter, r *http.Request, rest string, body []byte){
	"status": func(w http.ResponseWriter, r *http.Request, rest string, _ []byte) {
		status, err := strconv.Atoi(rest)
		if err != nil {
			status = 500
		}
		w.Header().Set("Content-Type", "application/json; charset=utf-8")
		if status/100 == 3 && status != 304 || status == 201 {
			w.Header().Set("Location", "http://"+r.Host+"/elsewhere?a=b#c")
		}
		if status == 401 || status == 407 {
			w.Header().Add("WWW-Authenticate", `Basic realm="a, b"`)
			w.Header().Add("WWW-Authenticate", "Bearer")
		}
		if status == 405 {
			w.Header().Set("Allow", "GET, PUT")
		}
		if status == 503 || status == 429 {
			w.Header().Set("Retry-After", "7")
		}
		w.WriteHeader(status)
		if status != 204 && status != 304 {
			fmt.Fprintf(w, `{"status":%d}`, status)
		}
	},
	"cookies": func(w http.ResponseWriter, r *http.Request, _ string, _ []byte) {
		w.Header().Add("Set-Cookie", "session=1; Path=/; HttpOnly; SameSite=Lax")
		w.Header().Add("Set-Cookie", "theme=dark; Expires=Thu, 01 Jan 2037 00:00:00 GMT")
		fmt.Fprintf(w, "you have %q", r.Header.Values("Cookie"))
	},
	"keys": func(w http.ResponseWriter, r *http.Request, _ string, _ []byte) {
		if r.Header.Get("X-Api-Key") == "" && r.Header.Get("Authorization") == "" {
			w.WriteHeader(http.StatusUnauthorized)
		}
		fmt.Fprintf(w, "%q %q", r.Header.Get("X-Api-Key"), r.Header.Get("Authorization"))
	},
	"cors": func(w http.ResponseWriter, r *http.Request, rest string, _ []byte) {
		if origin := r.Header.Get("Origin"); origin != "" {
			w.Header().Set("Access-Control-Allow-Origin", origin)
			w.Header().Set("Access-Control-Allow-Credentials", "true")
			if rest == "vary" {
				w.Header().Set("Vary", "Origin")
			}
		}
		if r.Method == http.MethodOptions {
			w.Header().Set("Access-Control-Allow-Methods", "GET, PUT")
			w.Header().Set("Access-Control-Max-Age", "600")
			w.WriteHeader(http.StatusNoContent)
			return
		}
		io.WriteString(w, "shared with "+r.Header.Get("Origin"))
	},
	"languages": func(w http.ResponseWriter, r *http.Request, _ string, _ []byte) {
		w.Header().Set("Vary", "Accept-Language, Accept")
		fmt.Fprintf(w, "for %q and %q", r.Header.Get("Accept-Language"), r.Header.Get("Accept"))
	},
	"content": func(w http.ResponseWriter, r *http.Request, _ string, _ []byte) { // conditions and ranges
		w.Header().Set("ETag", `"v1"`)
		w.Header().Set("Content-Type", "text/plain")
		w.Header().Set("Cache-Control", "max-age=60")
		http.ServeContent(w, r, "", modified, bytes.NewReader(large[:1000]))
	},
	"packed": func(w http.ResponseWriter, r *http.Request, _ string, _ []byte) {
		w.Header().Set("Vary", "Accept-Encoding")
		w.Header().Set("Content-Type", "application/json")
		if !strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
			w.Write(large[:5000])
			return
		}
		w.Header().Set("Content-Encoding", "gzip")
		z := gzip.NewWriter(w)
		z.Write(large[:5000])
		z.Close()
	},
	"fields": func(w http.ResponseWriter, _ *http.Request, _ string, _ []byte) {
		h := w.Header()
		h["Link"] = []string{"</a.css>; rel=preload; as=style", "</b>; rel=next, </c>; rel=prev"}
		h["X-Empty"] = []string{""}
		h["X-Latin"] = []string{"caf\xe9"}
		h["X-Long"] = []string{strings.Repeat("long-", 1500)}
		h["X-Odd!#$%&'*+.^_`|~"] = []string{`"quoted, text"`}
		h["Cache-Control"] = []string{"public", "max-age=60"}
		h["Server"] = []string{"shop/1.0 (test)"}
		h["Via"] = []string{"1.1 inner"}
		h["Content-Disposition"] = []string{`attachment; filename="a.txt"`}
		h["Strict-Transport-Security"] = []string{"max-age=600"}
		h["Content-Security-Policy"] = []string{"default-src 'self'"}
		h["Content-Type"] = nil
		io.WriteString(w, "<html>not sniffed")
	},
	"early": func(w http.ResponseWriter, _ *http.Request, _ string, _ []byte) {
		w.Header().Set("Link", "</a.css>; rel=preload")
		w.Header()["Date"] = nil // which net/http adds to hints as well
		w.WriteHeader(http.StatusEarlyHints)
		w.Header().Del("Date")
		w.Header().Del("Link")
		io.WriteString(w, "after a hint")
	},
	"trailers": func(w http.ResponseWriter, _ *http.Request, _ string, _ []byte) {
		w.Header().Set("Trailer", "X-Sum")
		io.WriteString(w, "summed")
		w.Header().Set("X-Sum", "42")
		w.Header().Set(http.TrailerPrefix+"X-Unannounced", "43")
	},
	"large":  func(w http.ResponseWriter, _ *http.Request, _ string, _ []byte) { w.Write(large) },
	"pieces": func(w http.ResponseWriter, _ *http.Request, _ string, _ []byte) { inPieces(w, 5) },
	"length": func(w http.ResponseWriter, _ *http.Request, _ string, _ []byte) {
		w.Header().Set("Content-Length", "5000")
		inPieces(w, 5)
	},
	"none": func(w http.ResponseWriter, _ *http.Request, _ string, _ []byte) { w.WriteHeader(http.StatusOK) },
	"cut": func(w http.ResponseWriter, _ *http.Request, _ string, _ []byte) {
		w.Header().Set("Content-Length", "5000")
		inPieces(w, 2)
		panic(http.ErrAbortHandler)
	},
	"vanish": func(http.ResponseWriter, *http.Request, string, []byte) { panic(http.ErrAbortHandler) },
	"slow": func(w http.ResponseWriter, _ *http.Request, _ string, _ []byte) {
		<-time.After(300 * time.Millisecond)
		io.WriteString(w, "at last")
	},
	"echo": func(w http.ResponseWriter, r *http.Request, _ string, body []byte) {
		w.Header()["Content-Type"] = r.Header["Content-Type"]
		w.WriteHeader(http.StatusCreated)
		w.Write(body)
	},
}

func inPieces(w http.ResponseWriter, n int) {
	for i := range n {
		w.Write(large[i*1000 : (i+1)*1000])
		w.(http.Flusher).Flush()
		<-time.After(20 * time.Millisecond)
	}
}
