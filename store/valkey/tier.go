package valkey

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"sync/atomic"
	"time"

	"cacheproxy/invalidation/fleet"
	"cacheproxy/invalidation/valkey"
	"cacheproxy/store"

	client "github.com/valkey-io/valkey-go"
)

const (
	// writeTimeout bounds one write, and the end of a claim. Nobody waits for it but those who wait for a claim.
	writeTimeout = time.Second
	// variantsKeep is for how long variants are kept after a copy of theirs was last written.
	variantsKeep = 7 * 24 * time.Hour
	// overhead is how much longer than its body a value may be: storage key, head and what else it says.
	overhead = 1 << 20
	// maxWrites and maxWriteBytes bound what is on its way to the server. More is dropped.
	maxWrites     = 256
	maxWriteBytes = 32 << 20
)

// Tier keeps items on a server that several instances share. Run must run for it to work. It is safe for concurrent use.
type Tier struct {
	options   Options       // never changes
	patience  time.Duration // for one write: writeTimeout
	breaker   *breaker
	maxObject atomic.Int64 // changes with the configuration, while requests read and write
	writes    atomic.Int64 // on their way to the server
	bytes     atomic.Int64 // of the writes
}

var _ store.Tier = (*Tier)(nil)

// New makes a tier. It dials nothing.
func New(o Options) *Tier {
	t := &Tier{options: o, patience: writeTimeout, breaker: newBreaker()}
	t.maxObject.Store(o.MaxObject)
	return t
}

// SetMaxObject changes the length beyond which bodies are neither written nor read.
func (t *Tier) SetMaxObject(n int64) { t.maxObject.Store(n) }

// Down implements store.Tier.
func (t *Tier) Down() bool {
	if t.breaker.open.Load() || t.options.Alive != nil && !t.options.Alive() {
		return true
	}
	_, err := t.options.Connection.Client()
	return err != nil
}

// Get implements store.Tier. What cannot be read, is damaged, is not signed as it must be, or stands at a position that this process cannot place is not
// there.
func (t *Tier) Get(ctx context.Context, key string) (store.Item, error) {
	if t.Down() {
		return nil, store.ErrDown
	}
	began := time.Now()
	v, err := within(ctx, t, operation{name: "get", timeout: t.options.Timeout}, t.reading(t.key('e', key)))
	if err != nil {
		return nil, fmt.Errorf("read copy: %w", err)
	}
	if len(v.bytes) == 0 {
		return nil, nil
	}
	item, err := t.decode(v, key, began)
	if err != nil {
		switch {
		case errors.Is(err, ErrGarbled):
			t.options.observe("decode", began, err)
			t.discard(ctx, key)
		case errors.Is(err, valkey.ErrSignature): // the signer has counted it
			t.discard(ctx, key)
		}
		return nil, nil
	}
	return item, nil
}

// decode makes an item of a value that was asked for at a time.
func (t *Tier) decode(v value, key string, asked time.Time) (store.Item, error) {
	most := t.maxObject.Load() + overhead
	if int64(len(v.bytes)) > most || v.left <= 0 {
		return nil, ErrGarbled // nothing here writes longer values, or some that stay for ever
	}
	s, err := open(v.bytes, key, t.options.Signer)
	if err != nil {
		return nil, err
	}
	if s.flags&flagVariants != 0 {
		return s.variants()
	}
	token, ok := t.options.Positions.FromLog(s.at)
	if !ok {
		return nil, errUnusable
	}
	c, err := s.copy(most)
	if err != nil {
		return nil, err
	}
	// How long it has been kept is told by what is left of its expiry on the server, and by the clock of whoever wrote it and
	// this one's. The older counts.
	life := c.Life()
	resident := max(life.Keep-v.left, asked.Sub(life.Received), 0)
	if resident >= life.Keep || int64(c.Length()) > t.maxObject.Load() {
		c.Release()
		return nil, errUnusable
	}
	life.Received = asked.Add(-resident)
	c.SetLife(life)
	c.Stamp.Set(token)
	return c, nil
}

// Put implements store.Tier. What is too long, or stands at a position that others could not place, is not kept.
func (t *Tier) Put(ctx context.Context, key string, item store.Item) error {
	if t.Down() {
		return store.ErrDown
	}
	size := int64(overhead)
	if c, ok := item.(*store.Copy); ok {
		size = int64(len(key) + len(c.Head()) + len(c.Body()))
	}
	if !t.reserve(size) {
		t.options.observe("put", time.Now(), store.ErrBusy)
		return fmt.Errorf("write copy: %w", store.ErrBusy)
	}
	defer t.release(size)
	v, err := t.encode(key, item)
	if err != nil {
		return fmt.Errorf("write copy: %w", err)
	}
	if v.bytes == nil {
		return nil
	}
	_, err = within(ctx, t, operation{name: "put", timeout: t.patience, write: true}, func(ctx context.Context, c client.Client) (int64, error) {
		return putScript.Exec(ctx, c, []string{t.key('e', key)}, []string{client.BinaryString(v.bytes), strconv.FormatInt(v.left.Milliseconds(), 10)}).AsInt64()
	})
	if err != nil {
		return fmt.Errorf("write copy: %w", err)
	}
	return nil
}

// encode makes the value of an item. It is without bytes where the item is not to be kept.
func (t *Tier) encode(key string, item store.Item) (v value, err error) {
	switch item := item.(type) {
	case *store.Variants:
		v.left = variantsKeep
		v.bytes, err = encode(key, item, fleet.LogPosition{}, false, t.options.Signer)
	case *store.Copy:
		at, ok := t.options.Positions.ToLog(item.Stamp.Checked())
		v.left = item.Life().Keep - max(time.Since(item.Life().Received), 0)
		if !ok || v.left < time.Millisecond || int64(item.Length()) > t.maxObject.Load() {
			return value{}, nil
		}
		v.bytes, err = encode(key, item, at, t.options.Compress, t.options.Signer)
	}
	if int64(len(v.bytes)) > t.maxObject.Load()+overhead {
		return value{}, nil
	}
	return v, err
}

func (t *Tier) reserve(size int64) bool {
	// The only write on its way may be as large as it likes.
	if n, bytes := t.writes.Add(1), t.bytes.Add(size); n > maxWrites || bytes > maxWriteBytes && n > 1 {
		t.release(size)
		return false
	}
	return true
}

func (t *Tier) release(size int64) {
	t.writes.Add(-1)
	t.bytes.Add(-size)
}

// key is where something of a storage key is. A storage key may be long, and of any bytes.
func (t *Tier) key(what byte, key string) string {
	return t.options.Prefix + ":" + string(what) + ":{" + hash(key) + "}"
}

func hash(key string) string {
	sum := sha256.Sum256([]byte(key))
	return base64.RawURLEncoding.EncodeToString(sum[:16])
}
