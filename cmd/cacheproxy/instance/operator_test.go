package instance

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"cacheproxy/test/wire"
)

// operatorAt serves the operator's listener alone.
func operatorAt(t *testing.T) string {
	r := newReloading(t)
	return wire.Serve(t, r.operator, r.adminConnections.Listen(wire.Listen(t)))
}

// ask sends a request on a connection and returns its answer's status.
func ask(conn net.Conn, request string) (int, error) {
	if _, err := io.WriteString(conn, request); err != nil {
		return 0, err
	}
	return answered(conn)
}

func answered(conn net.Conn) (int, error) {
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return 0, err
	}
	_, err = io.Copy(io.Discard, res.Body)
	return res.StatusCode, err
}

// Health and metrics answer at once, whatever else is asked of the listener: calls whose bodies do not come, with a token or without
// one, bodies of health checks among them.
func TestHealthHasItsOwnRoom(t *testing.T) {
	for _, call := range []string{"POST /purge", "GET /healthz", "POST /metrics", "DELETE /keys/a", "POST /debug/pprof/symbol", "POST /none"} {
		t.Run(call, func(t *testing.T) {
			addr := operatorAt(t)
			for range 3 * maxAdminConnections / 2 {
				conn := wire.Dial(t, addr)
				fmt.Fprintf(conn, "%s HTTP/1.1\r\nHost: localhost\r\nContent-Length: 200000\r\n\r\n{", call)
			}
			for _, path := range []string{"/healthz", "/metrics"} {
				began := time.Now()
				status, err := ask(wire.Dial(t, addr), "GET "+path+" HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
				if took := time.Since(began); err != nil || status != 200 || took > 3*time.Second {
					t.Errorf("%s beside %s: %d, %v, after %v", path, call, status, err, took)
				}
			}
		})
	}
}

// A call that is answered before its body was read is answered all the same: nobody's connection is reset.
func TestAnswersReachWhoStillSends(t *testing.T) {
	addr := operatorAt(t)
	body := strings.Repeat("x", 200_000)
	var all sync.WaitGroup
	for i := range 60 {
		all.Go(func() {
			call := [...]string{"POST /none", "DELETE /keys/a", "GET /healthz", "POST /healthz"}[i%4]
			conn, err := net.Dial("tcp", addr)
			if err != nil {
				t.Error(err)
				return
			}
			defer conn.Close()
			_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
			if status, err := ask(conn, call+" HTTP/1.1\r\nHost: localhost\r\nContent-Length: 200000\r\n\r\n"+body); err != nil || status == 0 {
				t.Errorf("%s: %d, %v", call, status, err)
			}
		})
	}
	all.Wait()
}

// Profiles have an end, TRACE tells nothing, and metrics are for those who ask under the listener's own name.
func TestOperatorsCallsAreBounded(t *testing.T) {
	addr := operatorAt(t)
	for call, want := range map[string]int{
		"GET /debug/pprof/trace?seconds=1e9": 400, "GET /debug/pprof/profile?seconds=61": 400, "GET /debug/pprof/heap?seconds=-1": 400,
		"GET /debug/pprof/trace?seconds=NaN": 400, "POST /debug/pprof/trace": 405, "GET /debug/pprof/trace?seconds=0.01": 200,
		"TRACE /": 405, "TRACE /metrics": 405, "TRACE /none": 405, "TRACE /keys/a": 405,
	} {
		if status, err := ask(wire.Dial(t, addr), call+" HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"); err != nil || status != want {
			t.Errorf("%s: %d, %v; want %d", call, status, err, want)
		}
	}
	for host, want := range map[string]int{"evil.example": 403, "evil.example:8081": 403, "localhost": 200, addr: 200, "[::1]": 200} {
		if status, err := ask(wire.Dial(t, addr), "GET /metrics HTTP/1.1\r\nHost: "+host+"\r\nConnection: close\r\n\r\n"); err != nil || status != want {
			t.Errorf("metrics at %s: %d, %v; want %d", host, status, err, want)
		}
	}
}
