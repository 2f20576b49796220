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

// probeEvery is the pause between questions to a server that did not answer.
const probeEvery = 200 * time.Millisecond

// putScript stores a value, unless the key has a value of the same version and history whose position is later.
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

// value is the value of a key, and for how much longer the server keeps it.
type value struct {
	bytes []byte
	left  time.Duration // at most zero: for ever
}

// operation is one exchange with the server.
type operation struct {
	name    string
	timeout time.Duration
	write   bool // an error reply does not count as a failure of the server, which may be full, or a replica
	probe   bool // the operation is tried even if the tier is down
}

// within runs f as an operation, and counts its result in the breaker. It returns when the operation's timeout is over, even if the client library does
// not, as while it is connecting; f then goes on in the background.
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
		case a := <-done: // f has finished, and its deferred cancel has ended bound
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

// reading returns the func for within that reads the value of a key: one byte more than the longest valid value, so that a longer one is noticed.
func (t *Tier) reading(key string) func(context.Context, client.Client) (value, error) {
	end := t.maxObject.Load() + overhead // one byte more than the longest value
	return func(ctx context.Context, c client.Client) (value, error) {
		// In one transaction, so that the expiry is that of this value, and not of one that it has replaced.
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
			bytes, err = []byte(err.Error()), nil // the key has no string: the error text is then found to be garbled
		}
		return value{bytes, time.Duration(left) * time.Millisecond}, err
	}
}

// discard removes a damaged value, since putScript might keep it instead of a new one.
func (t *Tier) discard(ctx context.Context, key string) {
	_, _ = within(ctx, t, operation{name: "put", timeout: t.options.Timeout, write: true}, func(ctx context.Context, c client.Client) (int64, error) {
		return c.Do(ctx, c.B().Del().Key(t.key('e', key)).Build()).AsInt64()
	}) // whether or not it is removed, the look-up is a miss
}

// Run waits until the breaker opens, probes the server until it answers, and closes the breaker, until ctx ends. It returns nil.
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

// probe asks the server until it answers. It reports false if ctx has ended before.
func (t *Tier) probe(ctx context.Context) bool {
	again := time.NewTicker(probeEvery)
	defer again.Stop()
	for n := 0; ; n++ {
		// Of a cluster, another node each time.
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

// unsent reports whether an operation was not sent, because the server is known not to answer.
func unsent(err error) bool {
	return errors.Is(err, store.ErrDown) || errors.Is(err, valkey.ErrNotConnected)
}
