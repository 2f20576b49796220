// Package valkey lets only one instance at a time make a write of a key, by locks on a server.
//
// A lock is a lease. The lock ends with the process that holds the lock. The lock also ends where that process, or
// its connection to the server, stands still for longer than the lease. Then a write may still be at the origin when
// the next write comes. Only the origin could tell the two writes apart.
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
	// lease is how long a lock is held without a renewal by its holder. Three renewals in a row may be lost, each
	// after its full timeout.
	lease      = 5 * time.Second
	renewEvery = time.Second
	// timeout bounds one request to the server.
	timeout = time.Second
	// A waiting instance asks again after a pause between these two. Few instances wait at a time: one request for
	// each key and instance.
	leastPause, mostPause = 2 * time.Millisecond, 50 * time.Millisecond
)

var (
	// lockScript gives the lock to the caller, unless another holds the lock. Repeated calls have the same result.
	lockScript = valkey.NewLuaScript(`
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
`)
	// renewScript renews a lock that the caller still holds. It takes no lock, since it may arrive after the lock was
	// given back.
	renewScript = valkey.NewLuaScript(`
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])
`)
	unlockScript = valkey.NewLuaScript(`
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('DEL', KEYS[1])
`)
)

// Options are the parts of Locks. All fields but Observe are required.
type Options struct {
	Connection *connection.Connection
	Prefix     string      // of every key, without braces
	Alive      func() bool // reports whether the server is known to answer
	// Observe is called with the duration and the outcome of an operation. Nil: nothing is counted.
	Observe func(op string, took time.Duration, err error)
	Log     *slog.Logger
}

// Locks are locks on a server that all instances share. They are safe for concurrent use.
type Locks struct{ options Options }

// New makes locks. New dials nothing.
func New(o Options) *Locks { return &Locks{options: o} }

// lock is one attempt to get, and then to keep, the lock of a key. Each attempt has its own token. A holder that
// returns an expired lock late does not return the lock of the next holder.
type lock struct {
	*Locks
	name, token string
}

// Lock waits until no other instance holds the lock of a key, and keeps the lock until unlock is called. The caller
// must call unlock exactly once. Lock fails when ctx ends, or the server does not answer. If nobody knows whether the
// server has given the lock, the lock expires.
func (l *Locks) Lock(ctx context.Context, key string) (unlock func(), err error) {
	sum := sha256.Sum256([]byte(key))
	k := &lock{Locks: l, name: l.options.Prefix + ":s:{" + base64.RawURLEncoding.EncodeToString(sum[:16]) + "}", token: rand.Text()}
	for pause := leastPause; ; pause = min(2*pause, mostPause) {
		// The request runs to its end also when the client leaves meanwhile: a lock that no instance knows to hold
		// would keep all others waiting.
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
		// If the server does not get the command, the lock expires.
		_, _ = k.ask(context.WithoutCancel(ctx), "serial_unlock", unlockScript)
	}, nil
}

// keep renews the lock until ctx ends. keep takes a lock again that the server has lost, because the server was full
// or has lost its data, unless another instance was faster.
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

// ask runs a script. held reports whether the lock is held.
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
