package valkey

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"cacheproxy/invalidation/fleet"

	"github.com/valkey-io/valkey-go"
)

// inboxSize is how many messages wait at most to be taken in. A message that finds no room is missed; a heartbeat
// fetches its entries.
const inboxSize = 4096

// hinter hears the entries that others append to the log at the time of the append, applies them, and tells their
// writer so (fleet R19). So an entry is applied at once and not at the next heartbeat. Where the hinter cannot apply
// an entry, the hinter wakes the syncer. No promise depends on the hinter: heartbeats bring the entries that the hinter
// misses.
type hinter struct {
	connection    *Connection
	keys          keys
	instance      string
	signer        *Signer
	heartbeat     time.Duration
	follower      *fleet.Follower
	syncer        *syncer
	confirmations *confirmations

	session atomic.Pointer[session] // nil: no session
}

// session is one connection to one life of the server, on which entries are heard, appended and acknowledged. A
// session is safe for concurrent use.
type session struct {
	valkey.DedicatedClient
	server string // name of the server, as in fleet.SyncReply; a connection never leads to another process
	end    context.CancelCauseFunc
}

var errOtherServer = errors.New("another server keeps the log")

// run listens, on one connection after another, until ctx ends.
func (h *hinter) run(ctx context.Context) error {
	for ctx.Err() == nil {
		client, err := h.connection.Client()
		if err == nil {
			err = h.listen(ctx, client)
		}
		if err != nil {
			select {
			case <-time.After(h.heartbeat):
			case <-ctx.Done():
			}
		}
	}
	return nil
}

// listen hears messages on one connection until the connection breaks or drop ends the session.
func (h *hinter) listen(ctx context.Context, client valkey.Client) error {
	ctx, end := context.WithCancelCause(ctx)
	defer end(nil)
	// The session has a connection of its own, which can be closed: closing the client would wait for the client's
	// commands.
	c, _ := client.Dedicate()
	defer c.Close()
	defer context.AfterFunc(ctx, c.Close)()
	inbox := make(chan valkey.PubSubMessage, inboxSize)
	broken := c.SetPubSubHooks(valkey.PubSubHooks{OnMessage: func(m valkey.PubSubMessage) {
		select {
		case inbox <- m:
		default:
		}
	}})
	// whoScript has a key, so that in a cluster the connection leads to the node of that key.
	info, err := whoScript.Run(ctx, c, []string{h.keys.meta}, nil).ToString()
	if err != nil {
		return fmt.Errorf("listen to log: %w", err)
	}
	s := &session{DedicatedClient: c, server: serverLife(info), end: end}
	if err := c.Do(ctx, c.B().Subscribe().Channel(h.keys.entries, h.keys.acksTo(h.instance)).Build()).Error(); err != nil {
		return fmt.Errorf("listen to log: %w", err)
	}
	var ended <-chan error
	quiet, err := h.connection.mute(ctx, client)
	if err == nil { // otherwise the ACL forbids it, and acknowledgements are answered
		defer quiet.close()
		ended = quiet.ended
	}
	h.session.Store(s)
	defer h.session.CompareAndSwap(s, nil)
	h.syncer.wake() // for entries appended before
	for {
		select {
		case m := <-inbox:
			if err := h.take(ctx, s, quiet, inbox, m); err != nil {
				return err
			}
		case err := <-broken:
			return fmt.Errorf("listen to log: %w", err)
		case err := <-ended:
			return fmt.Errorf("acknowledge entries: %w", err)
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// on returns the session with a server; nil: no session. on ends a session with another server.
func (h *hinter) on(server string) *session {
	s := h.session.Load()
	if s == nil || server == "" || s.server == server {
		return s
	}
	h.drop(s, errOtherServer)
	return nil
}

// drop ends a session.
func (h *hinter) drop(s *session, why error) {
	h.session.CompareAndSwap(s, nil)
	s.end(why)
}

// take takes in a message and all messages that have come meanwhile, and acknowledges the entries that were applied:
// once to each writer, on the muted connection if there is one.
func (h *hinter) take(ctx context.Context, s *session, quiet *muted, inbox <-chan valkey.PubSubMessage, m valkey.PubSubMessage) error {
	acks := map[string][]uint64{}
	for {
		if m.Channel == h.keys.entries {
			h.hear(m.Message, acks)
		} else if name, nonces, ok := parseAck(m.Message); ok {
			h.confirmations.hear(name, nonces)
		}
		if len(inbox) == 0 {
			break
		}
		m = <-inbox
	}
	if len(acks) == 0 {
		return nil
	}
	words := make(map[string]string, len(acks))
	for writer, nonces := range acks {
		words[h.keys.acksTo(writer)] = ackText(h.instance, nonces)
	}
	if err := h.tell(ctx, s, quiet, words); err != nil {
		return fmt.Errorf("acknowledge entries: %w", err)
	}
	return nil
}

// tell publishes words; each key is a channel.
func (h *hinter) tell(ctx context.Context, s *session, quiet *muted, words map[string]string) error {
	if quiet != nil {
		return quiet.publish(words)
	}
	commands := make([]valkey.Completed, 0, len(words))
	for channel, word := range words {
		commands = append(commands, s.B().Publish().Channel(channel).Message(word).Build())
	}
	for _, result := range s.DoMulti(ctx, commands...) {
		if err := result.Error(); err != nil {
			return err
		}
	}
	return nil
}

// hear applies the entries that one step has appended, and adds to acks the entries that their writer waits for.
func (h *hinter) hear(message string, acks map[string][]uint64) {
	told, err := parseTold(message)
	if err != nil {
		h.syncer.wake() // the next heartbeat reads the entries
		return
	}
	history, _ := h.follower.Place()
	entries := make([]fleet.Heard, 0, len(told.entries))
	previous := told.previous
	for i, e := range told.entries {
		record, err := h.signer.entry(history, told.seq+uint64(i), e.nonce, []byte(e.record), e.signature)
		if err != nil {
			break
		}
		entries, previous = append(entries, fleet.Heard{Record: record, Previous: previous}), e.nonce
	}
	if !h.syncer.hear(entries) || len(entries) < len(told.entries) {
		h.syncer.wake()
	}
	if told.writer == h.instance {
		return
	}
	for i, e := range told.entries {
		if e.awaited && h.follower.Has(told.seq+uint64(i), e.nonce) {
			acks[told.writer] = append(acks[told.writer], e.nonce)
		}
	}
}
