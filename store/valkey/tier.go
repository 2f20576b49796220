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
	// writeTimeout bounds one write, and one release of a claim. Only instances that await the claim wait for the
	// release.
	writeTimeout = time.Second
	// variantsKeep is how long the server keeps variants after the last write of one of their copies.
	variantsKeep = 7 * 24 * time.Hour
	// overhead is how many bytes a value may be longer than its body: storage key, head and the other parts.
	overhead = 1 << 20
	// maxWrites and maxWriteBytes bound the writes under way to the server. Further writes fail with ErrBusy.
	maxWrites     = 256
	maxWriteBytes = 32 << 20
)

// Tier keeps items on a server that several instances share. Run must run, or the tier stays down once its breaker has
// opened. A Tier is safe for concurrent use.
type Tier struct {
	options   Options       // never changes
	patience  time.Duration // for one write: writeTimeout
	breaker   *breaker
	maxObject atomic.Int64 // changes with the configuration, while requests read and write
	writes    atomic.Int64 // under way to the server
	bytes     atomic.Int64 // of the writes under way
}

var _ store.Tier = (*Tier)(nil)

// New makes a tier. It does not connect to the server.
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

// Get implements store.Tier. Get reports no item for a value that is unusable, damaged or without the required
// signature, and for one at a position that this process cannot translate.
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
		case errors.Is(err, valkey.ErrSignature): // the signer has counted the error
			t.discard(ctx, key)
		}
		return nil, nil
	}
	return item, nil
}

// decode makes an item of a value. asked is when the value was asked for.
func (t *Tier) decode(v value, key string, asked time.Time) (store.Item, error) {
	most := t.maxObject.Load() + overhead
	switch {
	case int64(len(v.bytes)) > most, v.left < 0:
		return nil, ErrGarbled // this program writes no longer value, and none without an expiry
	case v.left == 0: // the last millisecond of the value
		return nil, errUnusable
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
	// The age of the copy follows from the remaining time of its key on the server, and also from the writer's clock
	// against this instance's. The greater age counts.
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

// Put implements store.Tier. Put skips a copy that is too long, or whose position other instances could not translate.
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

// encode makes the value of an item. bytes is nil where the item is not to be kept.
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
	// A single write under way may have any size.
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

// key is the server's key of a kind for a storage key, which is hashed because it may be long and have any bytes.
func (t *Tier) key(what byte, key string) string {
	return t.options.Prefix + ":" + string(what) + ":{" + hash(key) + "}"
}

func hash(key string) string {
	sum := sha256.Sum256([]byte(key))
	return base64.RawURLEncoding.EncodeToString(sum[:16])
}
