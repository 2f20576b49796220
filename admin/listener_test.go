package admin

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"cacheproxy/invalidation"
	"cacheproxy/policy"
	"cacheproxy/policy/httpcache"

	"github.com/prometheus/client_golang/prometheus"
)

// listener is a real server of the operator's listener, and what it was told to do.
type listener struct {
	Options
	addr string // host:port
	log  *bytes.Buffer

	mu      sync.Mutex
	purges  []Purge
	modes   []string
	explain []string
	refused []string // reasons

	receipt invalidation.Receipt // what the next purges end with
	err     error
}

func held() invalidation.Receipt {
	return invalidation.Receipt{ID: "7-1", Seq: 7, Instances: 2, Acked: []string{"a", "b"}, Took: 1500 * time.Microsecond, Recorded: true, Held: true}
}

// newListener makes a listener's handler; tests may change Options before they call start.
func newListener(tokens ...Token) *listener {
	l := &listener{log: &bytes.Buffer{}, receipt: held()}
	l.Options = Options{
		Tokens: tokens,
		Purge: func(ctx context.Context, p Purge) (invalidation.Receipt, error) {
			if _, ok := ctx.Deadline(); !ok {
				return invalidation.Receipt{}, errors.New("no deadline")
			}
			l.mu.Lock()
			defer l.mu.Unlock()
			l.purges = append(l.purges, p)
			return l.receipt, l.err
		},
		URLMembers: func(t httpcache.Target) []policy.Member {
			return policy.URLMembers(t.Host, t.Path, t.Query, t.HasQuery)
		},
		RouteNames: func() []string { return []string{"product", "stock"} },
		Explain: func(_ context.Context, method, url string, header http.Header, assumed []string) (any, error) {
			if strings.Contains(url, "bad") {
				return nil, errors.New("no such host")
			}
			l.explain = append(l.explain, fmt.Sprint(method, " ", url, " ", header, assumed))
			return map[string]string{"route": "product"}, nil
		},
		SetMode: func(_ context.Context, o ModeOrder) (invalidation.Receipt, error) {
			l.modes = append(l.modes, fmt.Sprint(o.Route, " ", o.Mode, " ", o.Share, " ", o.For, " ", o.Reset))
			return invalidation.Receipt{Recorded: true, Held: l.err == nil}, l.err
		},
		Modes: func() []RouteMode {
			until := time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)
			return []RouteMode{
				{Route: "product", Mode: "observe", Share: "10%"},
				{
					Route: "stock", Mode: "off", Share: "100%", Configured: &ModeSetting{"on", "100%"},
					Override: &ModeOverride{By: "oncall", Since: until.Add(-time.Hour), Until: &until},
				},
			}
		},
		Reload: func(context.Context) (Reloaded, error) {
			return Reloaded{Changed: []string{"routes[stock].ttl changed"}, Recent: []string{"log.level changed"}, Restart: []string{"listen"}, Warnings: []string{}, Generation: 2, Since: time.Date(2026, 11, 26, 21, 4, 5, 0, time.UTC)}, nil
		},
		ConfirmTimeout: func() time.Duration { return 30 * time.Second },
		RefuseMode:     func(ModeOrder) error { return nil },
		AuditFull:      func() bool { return false },

		Refused:  func(reason string) { l.refused = append(l.refused, reason) },
		Config:   func() any { return map[string]string{"listen": "127.0.0.1:8080"} },
		Ready:    func() error { return l.err },
		Gatherer: prometheus.NewRegistry(),
		Log:      slog.New(slog.NewTextHandler(l.log, nil)),
		Build:    "v1",
	}
	return l
}

func (l *listener) start(t *testing.T) *listener {
	t.Helper()
	return l.serve(t, "tcp", "127.0.0.1:0")
}

func (l *listener) serve(t *testing.T, network, address string) *listener {
	t.Helper()
	ln, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: New(l.Options)}
	done := make(chan struct{})
	go func() { defer close(done); _ = srv.Serve(ln) }()
	t.Cleanup(func() { _ = srv.Close(); <-done })
	l.addr = ln.Addr().String()
	return l
}

// raw sends a request as it stands, "HOST" standing for the listener's address, and returns the answer.
func (l *listener) raw(t *testing.T, network, request string) (*http.Response, string) {
	t.Helper()
	conn, err := net.DialTimeout(network, l.addr, 5*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, strings.ReplaceAll(request, "HOST", l.addr)); err != nil {
		t.Fatal(err)
	}
	res, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: strings.Fields(request)[0]})
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res, string(body)
}

// ask makes one call: "METHOD target", further header lines, and a body.
func (l *listener) ask(t *testing.T, line, body string, header ...string) (*http.Response, string) {
	t.Helper()
	lines := append([]string{line + " HTTP/1.1", "Host: HOST", "Connection: close", fmt.Sprint("Content-Length: ", len(body))}, header...)
	return l.raw(t, "tcp", strings.Join(lines, "\r\n")+"\r\n\r\n"+body)
}

// who is the caller by the last line of the log.
func (l *listener) who() string {
	_, line, _ := strings.Cut(l.log.String()[strings.LastIndex(strings.TrimSpace(l.log.String()), "\n")+1:], " who=")
	if quoted, err := strconv.QuotedPrefix(line); err == nil {
		line, _ = strconv.Unquote(quoted)
		return line
	}
	name, _, _ := strings.Cut(line, " ")
	return name
}

func (l *listener) last(t *testing.T) Purge {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.purges) == 0 {
		t.Fatal("nothing was purged")
	}
	return l.purges[len(l.purges)-1]
}
