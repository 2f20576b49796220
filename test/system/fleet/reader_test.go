package fleet

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"
)

// pipelined is how many requests every other reader has under way at once.
const pipelined = 8

// reader reads over a connection of its own, which it needs little of the machine for: most of what a fleet and its clients do together
// is then the fleet's work.
type reader struct {
	load *Load
	many int // requests that it sends before it reads the first answer; a proxy answers them in order (RFC 9112 §9.3.2)

	base    string // of the member that conn leads to
	conn    net.Conn
	answers *bufio.Reader
	stop    func() bool
	sent    []sentRead
	head    []byte
}

// sentRead is a request, and what its answer has to show.
type sentRead struct {
	key   int
	want  int64
	risky bool
}

// read sends requests to a member and compares its answers.
func (r *reader) read(ctx context.Context, m *Member) {
	base, ok := m.Data()
	if !ok {
		r.close()
		return
	}
	if err := r.connect(ctx, base); err != nil {
		r.load.Check.Failed.Add(1)
		return
	}
	r.sent, r.head = r.sent[:0], r.head[:0]
	for range r.many {
		key := r.load.key()
		want, risky := r.load.Check.Expected(key)
		r.sent = append(r.sent, sentRead{key, want, risky})
		r.head = fmt.Appendf(r.head, "GET /v/%d HTTP/1.1\r\nHost: %s\r\n\r\n", key, host)
	}
	asked := time.Now()
	if err := r.conn.SetDeadline(asked.Add(callTimeout)); err != nil {
		r.close()
		return
	}
	_, err := r.conn.Write(r.head)
	for i := 0; i < len(r.sent) && err == nil; i++ {
		if err = r.answer(m, r.sent[i], asked); err != nil && ctx.Err() == nil {
			r.load.Check.Failed.Add(int64(len(r.sent) - i))
		}
	}
	if err != nil {
		r.close()
	}
}

// answer reads one answer. An error ends the connection.
func (r *reader) answer(m *Member, s sentRead, asked time.Time) error {
	res, err := http.ReadResponse(r.answers, nil)
	if err != nil {
		return err
	}
	body, err := io.ReadAll(io.LimitReader(res.Body, 64<<10))
	if err == nil {
		r.load.compare(m, s, asked, res.StatusCode, res.Header, string(body))
		err = res.Body.Close()
	}
	if err == nil && res.Close {
		err = io.EOF
	}
	return err
}

func (r *reader) connect(ctx context.Context, base string) error {
	if r.conn != nil && r.base == base {
		return nil
	}
	r.close()
	u, err := url.Parse(base)
	if err != nil {
		return err
	}
	conn, err := (&net.Dialer{Timeout: callTimeout}).DialContext(ctx, "tcp", u.Host)
	if err != nil {
		return err
	}
	r.base, r.conn, r.answers = base, conn, bufio.NewReader(conn)
	r.stop = context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	return nil
}

func (r *reader) close() {
	if r.conn != nil {
		r.stop()
		_ = r.conn.Close()
		r.conn = nil
	}
}
