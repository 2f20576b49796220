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

// muted is a connection on which the server answers nothing. An answer to a word that others have to hear says only that it was heard by the
// server; it is a message for the server to send and for this instance to wake up for, as dear as the word itself. That the connection has ended is
// all that comes of it. Only one goroutine may use it at a time.
type muted struct {
	client valkey.DedicatedClient
	conn   net.Conn
	ended  chan error // has room for one: why the connection has ended
	done   chan struct{}
	buffer []byte
}

// wire is a connection to a server that can be found by what is written on it. Once it is silent, whatever comes on it ends it: the client would
// take an answer that it has not asked for as a defect of its own, and panic. Then nothing is muted again: it is no server that can be.
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

// lookout looks for the wire that a client writes a token on.
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

// dial opens a connection as the client would by itself.
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

// mute opens a connection on which the server answers nothing. It fails where the user of this instance may not have that. Only one goroutine
// may call it at a time, and has to close what it returns.
//
// The client opens it, since that knows where the server is and how to get in, and waits on it for an answer that never comes: so it looks for
// none to the words that are written past it, asks nothing by itself, and says when the connection ends.
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
		err = d.Do(ctx, d.B().Arbitrary("CLIENT", "REPLY", "ON").Build()).Error() // whether that is allowed
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

// publish has all hear words, each on a channel of its own.
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

// command appends a command as it goes over the wire.
func command(dst []byte, words ...string) []byte {
	dst = strconv.AppendInt(append(dst, '*'), int64(len(words)), 10)
	for _, w := range words {
		dst = strconv.AppendInt(append(dst, "\r\n$"...), int64(len(w)), 10)
		dst = append(append(dst, "\r\n"...), w...)
	}
	return append(dst, "\r\n"...)
}
