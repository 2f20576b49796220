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

// inboxSize is how many messages wait at most to be taken in. What finds no room is missed, and fetched with a heartbeat.
const inboxSize = 4096

// hinter hears what the others append to the log as they do, takes it in, and tells its writer so (fleet R19): an entry is applied at once
// and not at the next heartbeat. Where it cannot take one in it wakes the syncer. Nothing rests on the hinter: heartbeats bring what it
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

	session atomic.Pointer[session] // nil: there is none
}

// session is one connection to one life of the server, on which entries are heard, appended and acknowledged. It is safe for concurrent
// use.
type session struct {
	valkey.DedicatedClient
	server string // its name, as in fleet.SyncReply; a connection never comes to another process
	end    context.CancelCauseFunc
}

var errOtherServer = errors.New("another server keeps the log")

// run hears until ctx ends.
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

// listen hears on one connection until that breaks, or is given up.
func (h *hinter) listen(ctx context.Context, client valkey.Client) error {
	ctx, end := context.WithCancelCause(ctx)
	defer end(nil)
	// A connection of its own, which can be closed: a client waits for its commands.
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
	// It has keys, so that a cluster's connection is that to their node.
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
	if err == nil { // else it is not allowed, and acknowledgements are answered
		defer quiet.close()
		ended = quiet.ended
	}
	h.session.Store(s)
	defer h.session.CompareAndSwap(s, nil)
	h.syncer.wake() // for what was appended before
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

// on is the session with a server; nil: there is none. One with another server ends.
func (h *hinter) on(server string) *session {
	s := h.session.Load()
	if s == nil || server == "" || s.server == server {
		return s
	}
	h.drop(s, errOtherServer)
	return nil
}

// drop gives a session up.
func (h *hinter) drop(s *session, why error) {
	h.session.CompareAndSwap(s, nil)
	s.end(why)
}

// take takes in a message and all that have come meanwhile, and acknowledges what is applied of them: once to each writer, and where the
// server answers nothing, if there is such a connection.
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

// tell publishes words, each on a channel of its own.
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

// hear takes in the entries that one step has appended, and notes which of them their writer waits for.
func (h *hinter) hear(message string, acks map[string][]uint64) {
	told, err := parseTold(message)
	if err != nil {
		h.syncer.wake() // a heartbeat tells what to make of it
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
