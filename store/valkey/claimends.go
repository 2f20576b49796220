package valkey

import (
	"context"
	"time"

	"cacheproxy/store"

	client "github.com/valkey-io/valkey-go"
)

const (
	// earlyWords is how many words are kept for a claim whose holder is not known yet.
	earlyWords = 16
	// Lengths of the parts of a word, in bytes.
	hashLength = 22
	nameLength = 26
	// listenPause is the pause before the next attempt to listen.
	listenPause, listenPauseAtMost = 20 * time.Millisecond, time.Second
)

// word is the message, published to all instances, that a claim has ended, and how.
type word struct {
	hash, name string // of the storage key; of the claim
	how        store.ClaimResult
}

// String is the word as it is published.
func (w word) String() string { return w.hash + w.name + string(rune('0'+w.how)) }

func parseWord(s string) (w word, ok bool) {
	if len(s) != hashLength+nameLength+1 {
		return word{}, false
	}
	w = word{hash: s[:hashLength], name: s[hashLength : hashLength+nameLength], how: store.ClaimResult(s[len(s)-1] - '0')}
	return w, w.how <= store.Unshared
}

// listenFor makes a claim receive the words about its storage key.
func (c *Claims) listenFor(a *claim) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.waiting[a.hash] == nil {
		c.waiting[a.hash] = make(awaits)
	}
	c.waiting[a.hash][a] = true
}

func (c *Claims) forget(a *claim) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.waiting[a.hash], a)
	if len(c.waiting[a.hash]) == 0 {
		delete(c.waiting, a.hash)
	}
}

// receive hands a published word to the claims that wait on its storage key.
func (c *Claims) receive(s string) {
	w, ok := parseWord(s)
	if !ok {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for a := range c.waiting[w.hash] {
		a.receive(w)
	}
}

// receive keeps the word, if the holder is not known yet, or ends the wait, if it is about the holder. The caller holds Claims.mu.
func (a *claim) receive(w word) {
	switch {
	case a.holder == "":
		if len(a.early) < earlyWords {
			a.early = append(a.early, w)
		}
	case a.holder == w.name && !a.over():
		a.how = w.how
		close(a.ended)
	}
}

// subscription reports whether words arrive, and returns a channel that is closed when that changes.
func (c *Claims) subscription() (changes <-chan struct{}, subscribed bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.changed, c.subscribed
}

// setSubscribed notes that words begin or cease to arrive. Claims that wait then ask the server, since a word may have been lost.
func (c *Claims) setSubscribed(subscribed bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.subscribed != subscribed {
		c.subscribed = subscribed
		close(c.changed)
		c.changed = make(chan struct{})
	}
}

// listen receives words on a connection of its own, and on another when that breaks, until ctx ends.
func (c *Claims) listen(ctx context.Context) {
	pause, told := listenPause, false
	for ctx.Err() == nil {
		cl, err := c.tier.options.Connection.Client()
		if err == nil {
			err = c.listenOn(ctx, cl)
		}
		if _, subscribed := c.subscription(); subscribed {
			pause, told = listenPause, false
		}
		c.setSubscribed(false)
		if !told && ctx.Err() == nil && !c.tier.Down() {
			c.tier.options.Log.Warn("no word comes of fetches that other instances make; until it does, this one looks for itself", "error", err)
			told = true
		}
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
		pause = min(2*pause, listenPauseAtMost)
	}
}

// listenOn returns when the connection has broken.
func (c *Claims) listenOn(ctx context.Context, cl client.Client) error {
	ctx = client.WithOnSubscriptionHook(ctx, func(s client.PubSubSubscription) {
		if s.Kind == "subscribe" {
			c.setSubscribed(true)
		}
	})
	return cl.Dedicated(func(own client.DedicatedClient) error {
		return own.Receive(ctx, own.B().Subscribe().Channel(c.channel).Build(), func(m client.PubSubMessage) { c.receive(m.Message) })
	})
}
