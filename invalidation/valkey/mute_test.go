package valkey

import (
	"errors"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"cacheproxy/test/servers"

	"github.com/valkey-io/valkey-go"
)

// What is published on a muted connection is heard, and the server answers nothing: an answer would come to whom waits there for the end of
// the connection.
func TestMutedConnection(t *testing.T) {
	t.Parallel()
	for _, program := range servers.ValkeyPrograms() {
		c := NewConnection(serverAt(servers.Valkey(t, servers.ValkeyOptions{Program: program}).Address()), 0)
		if err := c.Connect(); err != nil {
			t.Fatal(err)
		}
		client, err := c.Client()
		if err != nil {
			t.Fatal(err)
		}
		defer client.Close()
		listener, release := client.Dedicate()
		defer release()
		heard := make(chan valkey.PubSubMessage, 100)
		listener.SetPubSubHooks(valkey.PubSubHooks{OnMessage: func(m valkey.PubSubMessage) { heard <- m }})
		if err := listener.Do(t.Context(), listener.B().Subscribe().Channel("one", "two").Build()).Error(); err != nil {
			t.Fatal(err)
		}
		m, err := c.mute(t.Context(), client)
		if err != nil {
			t.Fatal(err)
		}
		for i := range 20 {
			if err := m.publish(map[string]string{"one": strconv.Itoa(i), "two": "\r\n\x00" + strings.Repeat("x", i)}); err != nil {
				t.Fatal(err)
			}
			for range 2 {
				select {
				case got := <-heard:
					if said := got.Channel + got.Message; said != "one"+strconv.Itoa(i) && said != "two\r\n\x00"+strings.Repeat("x", i) {
						t.Errorf("%s: heard %+v", program, got)
					}
				case <-time.After(10 * time.Second):
					t.Fatalf("%s: not heard", program)
				}
			}
		}
		select {
		case err := <-m.ended:
			t.Errorf("%s: answered, or ended: %v", program, err)
		default:
		}
		if err := client.Do(t.Context(), client.B().Arbitrary("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes").Build()).Error(); err != nil {
			t.Fatal(err)
		}
		select {
		case err := <-m.ended:
			if err == nil || errors.Is(err, errAnswered) {
				t.Errorf("%s: ended with %v", program, err)
			}
		case <-time.After(10 * time.Second):
			t.Errorf("%s: the end of the connection is not told", program)
		}
		m.close()
	}
}

// A server that answers all the same ends the connection and no more, and is not told again to be silent.
func TestAnswersOnMutedConnection(t *testing.T) {
	t.Parallel()
	c := NewConnection(serverAt(servers.Valkey(t, servers.ValkeyOptions{}).Address()), 0)
	if err := c.Connect(); err != nil {
		t.Fatal(err)
	}
	client, err := c.Client()
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	m, err := c.mute(t.Context(), client)
	if err != nil {
		t.Fatal(err)
	}
	if err := m.write(command(command(command(nil, "CLIENT", "REPLY", "ON"), "PING"), "PING")); err != nil {
		t.Fatal(err)
	}
	if err := <-m.ended; !errors.Is(err, errAnswered) {
		t.Errorf("ended with %v", err)
	}
	m.close()
	if _, err := c.mute(t.Context(), client); !errors.Is(err, errAnswered) {
		t.Errorf("muted again: %v", err)
	}
}

// Whose user may not have the server silent, or count the items of the log, is acknowledged to all the same, and without early heartbeats.
func TestWithoutPermissionToMute(t *testing.T) {
	t.Parallel()
	for _, program := range servers.ValkeyPrograms() {
		v := servers.Valkey(t, servers.ValkeyOptions{Program: program})
		if out, err := v.CLI(t.Context(), "ACL", "SETUSER", "few", "on", ">secret", "~*", "&*", "+@all", "-client|reply", "-xlen"); err != nil || out != "OK\n" && out != "OK" {
			t.Fatal(out, err)
		}
		s := Server{Addresses: []string{v.Address()}, Username: "few", Password: "secret"}
		var beats atomic.Int64
		a, b := join(t, s, "a"), join(t, s, "b", counting(&beats))
		purge(t, a, key("first"))
		b.await(t, "entry", func() bool { return b.follower.Applied() == a.follower.Applied() })
		const purges = 50
		before, began := beats.Load(), time.Now()
		for range purges {
			if got := purge(t, a, key("k")); len(got.Acked) != 2 {
				t.Errorf("%s: acknowledged by %v", program, got.Acked)
			}
		}
		if got, regular := beats.Load()-before, int64(time.Since(began)/b.syncer.heartbeat)+1; got > regular+purges/10 {
			t.Errorf("%s: %d heartbeats for %d purges, %d of them at their time", program, got, purges, regular)
		}
	}
}
