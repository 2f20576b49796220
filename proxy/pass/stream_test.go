package pass

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"

	"cacheproxy/test/wire"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// Any protocol, also where one side closes its direction first.
func TestRawUpgrade(t *testing.T) {
	base := wire.Upstream(t, func(conn net.Conn, r *bufio.Reader) {
		if head := wire.ReadHead(r); !strings.Contains(head, "Upgrade: line/1") || !strings.Contains(head, "Connection: Upgrade") {
			t.Errorf("request: %q", head)
		}
		io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: line/1\r\n\r\nhello\n")
		said, err := io.ReadAll(r) // to the end of the client's direction
		if err != nil {
			t.Error(err)
		}
		fmt.Fprintf(conn, "you said %s", said)
	})
	conn := wire.Dial(t, passThrough(t, base, nil))
	io.WriteString(conn, "GET /up HTTP/1.1\r\nHost: shop.test\r\nConnection: upgrade\r\nUpgrade: line/1\r\n\r\nearly ")
	r := bufio.NewReader(conn)
	if head := wire.ReadHead(r); !strings.HasPrefix(head, "HTTP/1.1 101 ") || !strings.Contains(head, "Upgrade: line/1\r\n") {
		t.Fatalf("head %q", head)
	}
	if line, err := r.ReadString('\n'); err != nil || line != "hello\n" {
		t.Fatalf("%q: %v", line, err)
	}
	io.WriteString(conn, "late")
	conn.(*net.TCPConn).CloseWrite()
	if rest, err := io.ReadAll(r); err != nil || string(rest) != "you said early late" {
		t.Errorf("%q: %v", rest, err)
	}
}

// A client that offers several protocols gets the one that the upstream chose, whatever the case of its letters.
func TestUpgradeToOneOfSeveral(t *testing.T) {
	for _, c := range []struct{ offer, chosen, seen string }{
		{"Upgrade: websocket, x", "websocket", "Upgrade: websocket, x"},
		{"Upgrade: x,WebSocket", "websocket", "Upgrade: x, WebSocket"},
		{"Upgrade: x\r\nUpgrade: websocket", "WEBSOCKET", "Upgrade: x, websocket"},
		{"Upgrade: h2c, websocket", "websocket", "Upgrade: websocket\r\n"},
		{"Upgrade: , websocket, line/1 ,, TLS/1.0", "line/1", "Upgrade: websocket, line/1\r\n"},
		{"Upgrade: a/1, b/2", "b/2, a/1", "Upgrade: a/1, b/2"},
	} {
		base := wire.Upstream(t, func(conn net.Conn, r *bufio.Reader) {
			if head := wire.ReadHead(r); !strings.Contains(head, c.seen) {
				t.Errorf("%q: request %q", c.offer, head)
			}
			fmt.Fprintf(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: %s\r\n\r\n", c.chosen)
			line, err := r.ReadString('\n')
			if err != nil {
				t.Errorf("%q: %v", c.offer, err)
			}
			io.WriteString(conn, "you said "+line)
		})
		conn := wire.Dial(t, passThrough(t, base, nil))
		fmt.Fprintf(conn, "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\n%s\r\n\r\nhi\n", c.offer)
		r := bufio.NewReader(conn)
		if head := wire.ReadHead(r); !strings.HasPrefix(head, "HTTP/1.1 101 ") || !strings.Contains(head, "Upgrade: "+c.chosen+"\r\n") {
			t.Errorf("%q: %q", c.offer, head)
		}
		if rest, err := io.ReadAll(r); err != nil || string(rest) != "you said hi\n" {
			t.Errorf("%q: %q, %v", c.offer, rest, err)
		}
	}
}

func TestRefusedUpgradeIsAPlainAnswer(t *testing.T) {
	addr := behind(t, func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no", http.StatusForbidden) })
	answer := wire.Send(t, addr, "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\nGET /next HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
	// Two answers: the connection is still HTTP's.
	if !strings.HasPrefix(answer, "HTTP/1.1 403 ") || strings.Count(answer, "HTTP/1.1 403 ") != 2 {
		t.Errorf("%q", answer)
	}
}

func TestUnwantedUpgradeIsRefused(t *testing.T) {
	base := wire.Upstream(t, func(conn net.Conn, r *bufio.Reader) {
		wire.ReadHead(r)
		io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n")
	})
	answer := wire.Send(t, passThrough(t, base, nil), "GET / HTTP/1.1\r\nHost: a\r\nConnection: close, Upgrade\r\nUpgrade: h2c\r\n\r\n")
	if !strings.HasPrefix(answer, "HTTP/1.1 502 ") {
		t.Errorf("%q", answer)
	}
}

// An event arrives before the next is written.
func TestServerSentEvents(t *testing.T) {
	next := make(chan string)
	addr := behind(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		for event := range next {
			fmt.Fprintf(w, "data: %s\n\n", event)
			w.(http.Flusher).Flush()
		}
	})
	go func() { next <- "first" }()
	res, err := http.Get("http://" + addr)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	r := bufio.NewReader(res.Body)
	for i, event := range []string{"first", "second", "third"} {
		if i > 0 {
			next <- event
		}
		if line, err := r.ReadString('\n'); err != nil || line != "data: "+event+"\n" {
			t.Fatalf("%q: %v", line, err)
		}
		r.ReadString('\n')
	}
	close(next)
	if _, err := r.ReadString('\n'); !errors.Is(err, io.EOF) {
		t.Errorf("end: %v", err)
	}
}

// 256 MiB each way and at once leave the heap as it was: nothing is gathered on the way.
func TestLargeBodiesAreNotGathered(t *testing.T) {
	const size, sample, bound = 256 << 20, 32 << 20, 48 << 20
	var peak atomic.Uint64
	heap := func() uint64 {
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapInuse
	}
	addr := behind(t, func(w http.ResponseWriter, r *http.Request) {
		control := http.NewResponseController(w)
		control.EnableFullDuplex()
		w.Header().Set("Content-Length", fmt.Sprint(size))
		for n := 0; n < size; n += sample {
			if _, err := io.CopyN(w, r.Body, sample); err != nil {
				t.Error(err)
				return
			}
			peak.Store(max(peak.Load(), heap())) // one request: nobody else writes
		}
	})
	runtime.GC()
	base := heap()
	req, err := http.NewRequestWithContext(t.Context(), "POST", "http://"+addr, io.LimitReader(&pattern{}, size))
	if err != nil {
		t.Fatal(err)
	}
	req.ContentLength = size
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if n, err := io.Copy(&pattern{}, res.Body); n != size || err != nil || res.ContentLength != size {
		t.Errorf("%d of %d: %v", n, size, err)
	}
	t.Logf("heap in use: %d KiB before, %d KiB at most", base>>10, peak.Load()>>10)
	if peak.Load() > base+bound {
		t.Errorf("heap grew from %d to %d bytes", base, peak.Load())
	}
}

// pattern yields, and as a writer expects, bytes that count up with a period that no buffer size divides.
type pattern struct{ n int }

const patternPeriod = 251

// patternBytes is some of it in one piece, so that the race detector looks at a copy and not at every byte.
var patternBytes = func() []byte {
	b := make([]byte, 64<<10+patternPeriod)
	for i := range b {
		b[i] = byte(i % patternPeriod)
	}
	return b
}()

// next is what is still to come, as much as is at hand, but at most n bytes.
func (p *pattern) next(n int) []byte { return patternBytes[p.n:][:min(n, len(patternBytes)-p.n)] }

func (p *pattern) Read(b []byte) (int, error) {
	n := copy(b, p.next(len(b)))
	p.n = (p.n + n) % patternPeriod
	return n, nil
}

func (p *pattern) Write(b []byte) (int, error) {
	for done := 0; done < len(b); {
		want := p.next(len(b) - done)
		if !bytes.Equal(b[done:][:len(want)], want) {
			return done, errors.New("the bytes changed on the way")
		}
		done += len(want)
		p.n = (p.n + len(want)) % patternPeriod
	}
	return len(b), nil
}

// stock is a gRPC service without generated code.
type stock struct{}

var stockService = grpc.ServiceDesc{
	ServiceName: "shop.Stock",
	HandlerType: (*any)(nil),
	Methods: []grpc.MethodDesc{{MethodName: "Get", Handler: func(_ any, ctx context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
		var in wrapperspb.StringValue
		if err := decode(&in); err != nil {
			return nil, err
		}
		if in.Value == "missing" {
			return nil, status.Error(codes.NotFound, "no such sku: 100 %") // a response that is only a trailer
		}
		if err := grpc.SetTrailer(ctx, metadata.Pairs("x-left", "7")); err != nil {
			return nil, err
		}
		return wrapperspb.String("got " + in.Value), nil
	}}},
	Streams: []grpc.StreamDesc{{StreamName: "Watch", ServerStreams: true, ClientStreams: true, Handler: func(_ any, s grpc.ServerStream) error {
		for {
			var in wrapperspb.StringValue
			if err := s.RecvMsg(&in); errors.Is(err, io.EOF) {
				s.SetTrailer(metadata.Pairs("x-end", "yes"))
				return status.Error(codes.ResourceExhausted, "enough")
			} else if err != nil {
				return err
			}
			if err := s.SendMsg(wrapperspb.String("saw " + in.Value)); err != nil {
				return err
			}
		}
	}}},
}

func grpcBehind(t *testing.T) *grpc.ClientConn {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := grpc.NewServer()
	srv.RegisterService(&stockService, stock{})
	ended := make(chan error, 1)
	go func() { ended <- srv.Serve(ln) }()
	t.Cleanup(func() {
		srv.Stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	conn, err := grpc.NewClient(passThrough(t, mustURL(t, "h2c://"+ln.Addr().String()), nil), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

func TestGRPCUnary(t *testing.T) {
	conn := grpcBehind(t)
	var out wrapperspb.StringValue
	var trailer metadata.MD
	if err := conn.Invoke(t.Context(), "/shop.Stock/Get", wrapperspb.String("a"), &out, grpc.Trailer(&trailer)); err != nil || out.Value != "got a" {
		t.Errorf("%q: %v", out.Value, err)
	}
	if fmt.Sprint(trailer["x-left"]) != "[7]" {
		t.Errorf("trailer %v", trailer)
	}
	for range 20 { // once is luck where a timer decides
		err := conn.Invoke(t.Context(), "/shop.Stock/Get", wrapperspb.String("missing"), &out)
		if status.Code(err) != codes.NotFound || status.Convert(err).Message() != "no such sku: 100 %" {
			t.Fatalf("error status: %v", err)
		}
	}
	if err := conn.Invoke(t.Context(), "/shop.Stock/None", wrapperspb.String("a"), &out); status.Code(err) != codes.Unimplemented {
		t.Errorf("unknown method: %v", err)
	}
}

func TestGRPCBothWays(t *testing.T) {
	s, err := grpcBehind(t).NewStream(t.Context(), &stockService.Streams[0], "/shop.Stock/Watch")
	if err != nil {
		t.Fatal(err)
	}
	for _, word := range []string{"one", "two", "three"} { // each answer comes before the next question
		if err := s.SendMsg(wrapperspb.String(word)); err != nil {
			t.Fatal(err)
		}
		var out wrapperspb.StringValue
		if err := s.RecvMsg(&out); err != nil || out.Value != "saw "+word {
			t.Fatalf("%q: %v", out.Value, err)
		}
	}
	if err := s.CloseSend(); err != nil {
		t.Fatal(err)
	}
	err = s.RecvMsg(new(wrapperspb.StringValue))
	if status.Code(err) != codes.ResourceExhausted || fmt.Sprint(s.Trailer()["x-end"]) != "[yes]" {
		t.Errorf("end: %v, trailer %v", err, s.Trailer())
	}
}
