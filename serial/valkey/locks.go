// Package valkey lets one of all instances at a time make a write of a key, by locks on a server.
//
// A lock is a lease. It ends with the process that has it, and it ends too where that one, or its way to the server, stands still for longer:
// then a write may still be at the origin when the next one comes. Nothing but the origin could tell the two apart.
package valkey

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"log/slog"
	mathrand "math/rand/v2"
	"strconv"
	"sync"
	"time"

	connection "cacheproxy/invalidation/valkey"

	"github.com/valkey-io/valkey-go"
)

const (
	// lease is how long a lock is held without a word of its holder: three renewals in a row may be lost, each with all of its time.
	lease      = 5 * time.Second
	renewEvery = time.Second
	// timeout bounds one question to the server.
	timeout = time.Second
	// Who waits asks again after such a pause. Few wait at a time: one for each key and instance.
	leastPause, mostPause = 2 * time.Millisecond, 50 * time.Millisecond
)

var (
	// lockScript gives the lock to the one who asks, unless another has it. Asked twice, it says the same.
	lockScript = valkey.NewLuaScript(`
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
`)
	// renewScript keeps a lock that is still held, and takes none: it may arrive after the lock was given back.
	renewScript = valkey.NewLuaScript(`
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])
`)
	unlockScript = valkey.NewLuaScript(`
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('DEL', KEYS[1])
`)
)

// Options is what Locks work with. All fields but Observe are required.
type Options struct {
	Connection *connection.Connection
	Prefix     string      // of every key, without braces
	Alive      func() bool // whether the server is known to answer
	// Observe is told how long an operation took and how it ended. Nil: nobody counts.
	Observe func(op string, took time.Duration, err error)
	Log     *slog.Logger
}

// Locks are kept on a server that all instances share. They are safe for concurrent use.
type Locks struct{ options Options }

// New makes locks. It dials nothing.
func New(o Options) *Locks { return &Locks{options: o} }

// lock is one attempt to get, and then to keep, the lock of a key. Its token is its own: one that has run out and is given back late is
// not that of whoever got it then.
type lock struct {
	*Locks
	name, token string
}

// Lock waits until no other instance has the lock of a key, and keeps it until unlock is called, which must be once. It fails when ctx ends,
// or the server does not answer. Where it is not known whether the lock was given, it runs out.
func (l *Locks) Lock(ctx context.Context, key string) (unlock func(), err error) {
	sum := sha256.Sum256([]byte(key))
	k := &lock{Locks: l, name: l.options.Prefix + ":s:{" + base64.RawURLEncoding.EncodeToString(sum[:16]) + "}", token: rand.Text()}
	for pause := leastPause; ; pause = min(2*pause, mostPause) {
		// To the end also where the client leaves meanwhile: a lock that nobody knows to have would keep all others waiting.
		given, err := k.ask(context.WithoutCancel(ctx), "serial_lock", lockScript)
		if err != nil {
			return nil, fmt.Errorf("lock key of a write: %w", err)
		}
		if given {
			break
		}
		select {
		case <-time.After(pause/2 + mathrand.N(pause)):
		case <-ctx.Done():
			return nil, fmt.Errorf("lock key of a write: %w", ctx.Err())
		}
	}
	kept, end := context.WithCancel(context.WithoutCancel(ctx))
	var keeper sync.WaitGroup
	keeper.Go(func() { k.keep(kept) })
	return func() {
		end()
		keeper.Wait()
		_, _ = k.ask(context.WithoutCancel(ctx), "serial_unlock", unlockScript) // where the server cannot be told, it runs out
	}, nil
}

// keep renews the lock until ctx ends. One that the server has lost, because it was full or has begun anew, is taken again, unless another was
// faster.
func (k *lock) keep(ctx context.Context) {
	again := time.NewTicker(renewEvery)
	defer again.Stop()
	for {
		select {
		case <-again.C:
		case <-ctx.Done():
			return
		}
		held, err := k.ask(ctx, "serial_renew", renewScript)
		if err == nil && !held {
			held, err = k.ask(context.WithoutCancel(ctx), "serial_lock", lockScript)
		}
		if err == nil && !held {
			k.options.Log.Warn("a write is still at its upstream, and another instance makes the next one of its key: nothing was heard of this one for longer than "+lease.String(), "key", k.name)
			return
		}
	}
}

// ask runs a script, which says whether the lock is held.
func (k *lock) ask(ctx context.Context, op string, script *valkey.Lua) (held bool, err error) {
	client, err := k.options.Connection.Client()
	if err != nil {
		return false, err
	}
	if !k.options.Alive() {
		return false, connection.ErrNotConnected
	}
	began := time.Now()
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	held, err = script.Exec(ctx, client, []string{k.name}, []string{k.token, strconv.FormatInt(lease.Milliseconds(), 10)}).AsBool()
	if k.options.Observe != nil && ctx.Err() != context.Canceled {
		k.options.Observe(op, time.Since(began), err)
	}
	return held, err
}
