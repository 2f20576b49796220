package valkey

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/valkey-io/valkey-go"
)

// muted is a connection on which the server answers nothing. An acknowledgement is published for other instances. The
// server's answer would say only that the server has received the acknowledgement. Sending that answer costs the
// server as much as the publication, and wakes this instance. Without answers, this instance learns only when the
// connection has ended. Only one goroutine may use a muted at a time.
type muted struct {
	client valkey.DedicatedClient
	conn   net.Conn
	ended  chan error // has room for one: the error with which the connection has ended
	done   chan struct{}
	buffer []byte
}

// wire is a connection to a server that mute can find by the bytes written on it. Once silent is set, any byte from
// the server ends the connection. The client would take an answer without a request for a defect of its own, and
// panic. After such a byte nothing is muted again: the server answers although it was told not to.
type wire struct {
	net.Conn
	of     *Connection
	silent atomic.Bool
}

func (w *wire) Read(b []byte) (int, error) {
	n, err := w.Conn.Read(b)
	if n > 0 && w.silent.Load() {
		w.of.loud.Store(true)
		return 0, errAnswered
	}
	return n, err
}

// lookout finds the wire on which a client writes a token.
type lookout struct {
	token []byte
	found atomic.Pointer[wire]
}

func (w *wire) Write(b []byte) (int, error) {
	if l := w.of.sought.Load(); l != nil && bytes.Contains(b, l.token) {
		l.found.Store(w)
	}
	return w.Conn.Write(b)
}

// dial opens a connection as the client would by itself, and wraps it in a wire.
func (c *Connection) dial(ctx context.Context, address string, dialer *net.Dialer, config *tls.Config) (conn net.Conn, err error) {
	if config != nil {
		conn, err = (&tls.Dialer{NetDialer: dialer, Config: config}).DialContext(ctx, "tcp", address)
	} else {
		conn, err = dialer.DialContext(ctx, "tcp", address)
	}
	if err != nil {
		return nil, err
	}
	return &wire{Conn: conn, of: c}, nil
}

// mute opens a connection on which the server answers nothing. mute fails where the server's ACL does not allow that
// to the user of this instance. Only one goroutine may call mute at a time. The caller has to close the connection.
//
// The client opens the connection, since the client knows where the server is and how to log in. The client then
// waits on the connection for an answer that never comes. So the client expects no answer to the commands that are
// written past it, sends no commands of its own, and returns when the connection ends.
func (c *Connection) mute(ctx context.Context, client valkey.Client) (*muted, error) {
	if c.loud.Load() {
		return nil, errAnswered
	}
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	d, _ := client.Dedicate()
	l := &lookout{token: []byte(rand.Text())}
	c.sought.Store(l)
	defer c.sought.Store(nil)
	err := d.Do(ctx, d.B().Ping().Message(string(l.token)).Build()).Error()
	if err == nil {
		// This command fails where the ACL does not allow CLIENT REPLY.
		err = d.Do(ctx, d.B().Arbitrary("CLIENT", "REPLY", "ON").Build()).Error()
	}
	m := &muted{client: d, ended: make(chan error, 1), done: make(chan struct{})}
	if w := l.found.Load(); err == nil && w != nil {
		w.silent.Store(true)
		m.conn = w.Conn
		err = m.write(command(nil, "CLIENT", "REPLY", "OFF"))
	}
	if err == nil && m.conn == nil {
		err = errNotFound
	}
	if err != nil {
		d.Close()
		return nil, fmt.Errorf("have nothing answered: %w", err)
	}
	go func() {
		defer close(m.done)
		m.ended <- d.Do(context.WithoutCancel(ctx), d.B().Arbitrary("CLIENT", "REPLY", "OFF").Blocking()).Error()
	}()
	return m, nil
}

var (
	errAnswered = errors.New("an answer where there is to be none")
	errNotFound = errors.New("the connection was not found by what was written on it")
)

// close ends the connection.
func (m *muted) close() {
	m.client.Close()
	<-m.done
}

// publish publishes words; each key is a channel.
func (m *muted) publish(words map[string]string) error {
	m.buffer = m.buffer[:0]
	for channel, word := range words {
		m.buffer = command(m.buffer, "PUBLISH", channel, word)
	}
	return m.write(m.buffer)
}

func (m *muted) write(b []byte) error {
	if err := m.conn.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
		return err
	}
	_, err := m.conn.Write(b)
	return err
}

// command appends a command in the wire format (RESP).
func command(dst []byte, words ...string) []byte {
	dst = strconv.AppendInt(append(dst, '*'), int64(len(words)), 10)
	for _, w := range words {
		dst = strconv.AppendInt(append(dst, "\r\n$"...), int64(len(w)), 10)
		dst = append(append(dst, "\r\n"...), w...)
	}
	return append(dst, "\r\n"...)
}
