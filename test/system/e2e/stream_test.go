package e2e

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
)

// A WebSocket is passed through, both ways, for as long as both ends wish (RFC 6455, RFC 9110 §7.8), with the compression
// that they agree on (RFC 7692).
func TestWebSocket(t *testing.T) {
	for name, mode := range map[string]websocket.CompressionMode{"plain": websocket.CompressionDisabled, "compressed": websocket.CompressionContextTakeover} {
		t.Run(name, func(t *testing.T) {
			url := newServer(t, func(w http.ResponseWriter, r *http.Request) {
				conn, err := websocket.Accept(w, r, &websocket.AcceptOptions{Subprotocols: []string{"echo"}, CompressionMode: mode})
				if err != nil {
					t.Error(err)
					return
				}
				defer conn.CloseNow()
				for {
					kind, message, err := conn.Read(r.Context())
					if err != nil {
						return
					}
					if err := conn.Write(r.Context(), kind, append([]byte("echo "), message...)); err != nil {
						t.Error(err)
						return
					}
				}
			})
			p := serve(t, "--upstream", url)
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			conn, answer, err := websocket.Dial(ctx, "ws"+strings.TrimPrefix(p.data, "http")+"/echo", &websocket.DialOptions{Subprotocols: []string{"echo"}, CompressionMode: mode})
			if err != nil {
				t.Fatal(err)
			}
			defer conn.CloseNow()
			if conn.Subprotocol() != "echo" {
				t.Errorf("subprotocol %q", conn.Subprotocol())
			}
			if agreed := strings.Contains(answer.Header.Get("Sec-WebSocket-Extensions"), "permessage-deflate"); agreed != (mode != websocket.CompressionDisabled) {
				t.Errorf("extensions %q", answer.Header.Get("Sec-WebSocket-Extensions"))
			}
			for _, message := range []string{"hello", "", strings.Repeat("0", 1000), strings.Repeat("1", 1000), strings.Repeat("long", 7<<10), "bye"} {
				if err := conn.Write(ctx, websocket.MessageText, []byte(message)); err != nil {
					t.Fatal(err)
				}
				if _, got, err := conn.Read(ctx); err != nil || string(got) != "echo "+message {
					t.Fatalf("%.20q, %v; want %.20q", got, err, message)
				}
			}
			if err := conn.Close(websocket.StatusNormalClosure, ""); err != nil {
				t.Errorf("close: %v", err)
			}
		})
	}
}

// Each event arrives before the next is written, nothing of the stream is stored, and it ends when the client leaves.
func TestEventStream(t *testing.T) {
	next, ended := make(chan string), make(chan struct{}, 2)
	url := newServer(t, func(w http.ResponseWriter, r *http.Request) {
		defer func() { ended <- struct{}{} }()
		w.Header().Set("Content-Type", "text/event-stream")
		w.(http.Flusher).Flush()
		for {
			select {
			case event := <-next:
				fmt.Fprintf(w, "data: %s\n\n", event)
				w.(http.Flusher).Flush()
			case <-r.Context().Done():
				return
			}
		}
	})
	p := serve(t, "--upstream", url)
	for range 2 {
		readEvents(t, p.data+"/events", next)
		select {
		case <-ended:
		case <-time.After(patience):
			t.Fatal("the origin still streams to a client that has left")
		}
	}
	if got := metric(t, p, `cacheproxy_store_entries{tier="memory"}`); got != "0" && got != "1" { // one may say: do not store this
		t.Errorf("%s entries in the store", got)
	}
}

// readEvents subscribes, gets the head before there is any event, and reads each event before the next is sent.
func readEvents(t testing.TB, url string, next chan<- string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Accept", "text/event-stream")
	res, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if status := res.Header.Get("Cache-Status"); strings.Contains(status, "hit") || strings.Contains(status, "stored") {
		t.Errorf("Cache-Status %q", status)
	}
	lines := bufio.NewReader(res.Body)
	for i := range 3 {
		next <- fmt.Sprint(i)
		for _, want := range []string{fmt.Sprintf("data: %d\n", i), "\n"} {
			if line, err := lines.ReadString('\n'); err != nil || line != want {
				t.Fatalf("%q, %v; want %q", line, err, want)
			}
		}
	}
}

// gRPC: a call, a call that fails with its own status, and a server stream, over HTTP/2 in cleartext on both sides.
func TestGRPC(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server, states := grpc.NewServer(), health.NewServer()
	healthpb.RegisterHealthServer(server, states)
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	t.Cleanup(func() {
		server.Stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	p := serveConfig(t, fmt.Sprintf(`
h2c: true
drain_delay: 0s
upstreams: [{name: grpc, url: "h2c://%s"}]
routes: [{name: all, match: /, policy: bypass}]
`, listener.Addr()))
	conn, err := grpc.NewClient("passthrough:///"+strings.TrimPrefix(p.data, "http://"), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	callGRPC(ctx, t, healthpb.NewHealthClient(conn), states)
}

func callGRPC(ctx context.Context, t testing.TB, c healthpb.HealthClient, states *health.Server) {
	t.Helper()
	if res, err := c.Check(ctx, &healthpb.HealthCheckRequest{}); err != nil || res.Status != healthpb.HealthCheckResponse_SERVING {
		t.Fatalf("call: %v, %v", res, err)
	}
	if _, err := c.Check(ctx, &healthpb.HealthCheckRequest{Service: "none"}); status.Code(err) != codes.NotFound {
		t.Errorf("a call that fails: %v, want the server's own NotFound", err)
	}
	stream, err := c.Watch(ctx, &healthpb.HealthCheckRequest{})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []healthpb.HealthCheckResponse_ServingStatus{
		healthpb.HealthCheckResponse_SERVING, healthpb.HealthCheckResponse_NOT_SERVING, healthpb.HealthCheckResponse_SERVING,
	} {
		states.SetServingStatus("", want)
		if res, err := stream.Recv(); err != nil || res.Status != want {
			t.Fatalf("stream: %v, %v; want %v", res, err, want)
		}
	}
	late, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
	defer cancel()
	if stream, err = c.Watch(late, &healthpb.HealthCheckRequest{}); err == nil {
		for err == nil {
			_, err = stream.Recv()
		}
	}
	// The client's clock and the server's, which learns of the deadline, race.
	if code := status.Code(err); code != codes.DeadlineExceeded && code != codes.Canceled {
		t.Errorf("a stream past its deadline: %v", err)
	}
}
