package valkey

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"cacheproxy/invalidation/valkey"
	"cacheproxy/store"

	client "github.com/valkey-io/valkey-go"
)

// probeEvery is the pause between probes of a server that did not answer.
const probeEvery = 200 * time.Millisecond

// putScript stores a value, unless the present value has a later position in the same history, and was written by the
// same version.
var putScript = client.NewLuaScript(strings.NewReplacer("HEAD", fmt.Sprint(historyAt-1), "SEQ", fmt.Sprint(seqAt), "NONCE", fmt.Sprint(nonceAt)).Replace(`
local old = redis.call('GETRANGE', KEYS[1], 0, NONCE - 1)
if #old == NONCE and string.sub(old, 1, HEAD) == string.sub(ARGV[1], 1, HEAD) and string.sub(old, HEAD + 2, SEQ) == string.sub(ARGV[1], HEAD + 2, SEQ) then
  for i = SEQ + 1, NONCE do
    local there, new = string.byte(old, i), string.byte(ARGV[1], i)
    if there > new then return 0 end
    if there < new then break end
  end
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
`))

// value is the value of a key, with its remaining time.
type value struct {
	bytes []byte
	left  time.Duration // at most zero: no expiry
}

// operation is one exchange with the server.
type operation struct {
	name    string
	timeout time.Duration
	write   bool // a healthy server may refuse a write, as with full memory or on a replica
	probe   bool // run even while the tier is down
}

// within runs an operation, and returns when the timeout is over even where the client still waits, as for a
// connection.
func within[T any](ctx context.Context, t *Tier, o operation, f func(context.Context, client.Client) (T, error)) (got T, err error) {
	if !o.probe && t.Down() {
		return got, store.ErrDown
	}
	c, err := t.options.Connection.Client()
	if err != nil {
		return got, err
	}
	type answer struct {
		got T
		err error
	}
	began, done := time.Now(), make(chan answer, 1)
	bound, cancel := context.WithTimeout(ctx, o.timeout)
	go func() {
		defer cancel()
		got, err := f(bound, c)
		done <- answer{got, err}
	}()
	select {
	case a := <-done:
		got, err = a.got, a.err
	case <-bound.Done():
		select {
		case a := <-done: // f ended, and its cancel ended bound
			got, err = a.got, a.err
		default:
			err = bound.Err()
		}
	}
	switch {
	case err == nil || o.write && replied(err):
		t.breaker.succeed()
	case ctx.Err() == nil:
		t.breaker.fail()
	}
	t.options.observe(o.name, began, err)
	return got, err
}

// reading returns the operation that gets a value. The operation reads at most one byte more than the longest value
// has.
func (t *Tier) reading(key string) func(context.Context, client.Client) (value, error) {
	end := t.maxObject.Load() + overhead // one byte more than the longest value
	return func(ctx context.Context, c client.Client) (value, error) {
		// One transaction, so that the remaining time belongs to this value and not to the value before.
		replies := c.DoMulti(ctx, c.B().Multi().Build(), c.B().Pttl().Key(key).Build(),
			c.B().Getrange().Key(key).Start(0).End(end).Build(), c.B().Exec().Build())
		parts, err := replies[3].ToArray()
		if err != nil {
			return value{}, err
		}
		if len(parts) != 2 {
			return value{}, errors.New("transaction has another number of replies than of commands")
		}
		left, err := parts[0].AsInt64()
		if err != nil {
			return value{}, err
		}
		bytes, err := parts[1].AsBytes()
		if replied(err) {
			bytes, err = []byte(err.Error()), nil // the key has another type than string: treated as a damaged value
		}
		return value{bytes, time.Duration(left) * time.Millisecond}, err
	}
}

// discard removes a damaged value, since putScript might prefer the damaged value to the copy that would replace it.
func (t *Tier) discard(ctx context.Context, key string) {
	_, _ = within(ctx, t, operation{name: "put", timeout: t.options.Timeout, write: true}, func(ctx context.Context, c client.Client) (int64, error) {
		return c.Do(ctx, c.B().Del().Key(t.key('e', key)).Build()).AsInt64()
	}) // the read is a miss in any case
}

// Run probes a server that does not answer, until ctx ends. So no request has to wait to find out whether the server
// answers again.
func (t *Tier) Run(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-t.breaker.opened:
		}
		t.options.Log.Warn("Valkey does not answer: no copies are read from it or written to it until it does")
		if !t.probe(ctx) {
			return nil
		}
		t.options.Log.Info("Valkey answers again")
		t.breaker.close()
	}
}

// probe asks until the server answers. probe reports false where ctx ends first.
func (t *Tier) probe(ctx context.Context) bool {
	again := time.NewTicker(probeEvery)
	defer again.Stop()
	for n := 0; ; n++ {
		// In a cluster each probe asks for another key, and so may reach another node.
		key := t.key('e', fmt.Sprint("probe", n))
		if _, err := within(ctx, t, operation{name: "probe", timeout: t.options.Timeout, probe: true}, t.reading(key)); err == nil {
			return true
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			return false
		}
	}
}

// replied reports whether an error is a reply of the server.
func replied(err error) bool {
	return err != nil && errors.As(err, new(*client.ValkeyError))
}

// unsent reports whether an operation was not tried because the tier is down or not connected.
func unsent(err error) bool {
	return errors.Is(err, store.ErrDown) || errors.Is(err, valkey.ErrNotConnected)
}
