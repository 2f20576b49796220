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

// putScript keeps a value, unless what is there was fetched at a later position of the same history by the same version.
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

// value is what is kept under a key, and for how long from now on.
type value struct {
	bytes []byte
	left  time.Duration // at most zero: for ever
}

// operation is one exchange with the server.
type operation struct {
	name    string
	timeout time.Duration
	write   bool // it may be refused by a server that is well: it may be full, or a replica
	probe   bool // it is tried although the tier is down
}

// within carries out an operation. It ends when its time is over, whatever the client waits for: to connect, for one.
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
		case a := <-done: // f was done before, and its time with it
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

// reading asks for a value, of which it takes no more than may be there.
func (t *Tier) reading(key string) func(context.Context, client.Client) (value, error) {
	end := t.maxObject.Load() + overhead // one byte more than the longest value
	return func(ctx context.Context, c client.Client) (value, error) {
		// In one transaction, so that what is left is left of this value and not of the one before it.
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
			bytes, err = []byte(err.Error()), nil // it is no string: as good as damaged
		}
		return value{bytes, time.Duration(left) * time.Millisecond}, err
	}
}

// discard removes what is damaged, lest it keep out what would replace it.
func (t *Tier) discard(ctx context.Context, key string) {
	_, _ = within(ctx, t, operation{name: "put", timeout: t.options.Timeout, write: true}, func(ctx context.Context, c client.Client) (int64, error) {
		return c.Do(ctx, c.B().Del().Key(t.key('e', key)).Build()).AsInt64()
	}) // it is a miss in any case
}

// Run looks after a server that does not answer, until ctx ends. No request is held up for finding out whether it is back.
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

// probe asks until there is an answer. It reports false when ctx has ended before.
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

// replied reports whether an error is the server's answer.
func replied(err error) bool {
	return err != nil && errors.As(err, new(*client.ValkeyError))
}

// unsent reports whether an operation was not tried, since nobody answers.
func unsent(err error) bool {
	return errors.Is(err, store.ErrDown) || errors.Is(err, valkey.ErrNotConnected)
}
