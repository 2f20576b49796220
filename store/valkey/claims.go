package valkey

import (
	"context"
	"crypto/rand"
	"fmt"
	"strconv"
	"time"

	"cacheproxy/lockorder"
	"cacheproxy/store"

	client "github.com/valkey-io/valkey-go"

	"golang.org/x/sync/errgroup"
)

const (
	// claimKeep is for how long a claim holds without renewal. If it expires, its process has died.
	claimKeep  = 3 * time.Second
	renewEvery = claimKeep / 3
	// renewers bounds how many claims are renewed at a time.
	renewers = 16
	// lookEvery is how often a waiting claim asks the server while words do not arrive.
	lookEvery = 100 * time.Millisecond
	// lookLeast is the least pause before a waiting claim asks the server.
	lookLeast = 10 * time.Millisecond
)

var (
	// claimScript gives the right to fetch to the claim named ARGV[1], if no other claim holds it, and otherwise marks that some claim waits. It
	// returns the holder and for how many ms more it holds. With an empty name it only asks.
	claimScript = client.NewLuaScript(`
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then
  redis.call('SET', KEYS[2], '', 'PX', 2 * ARGV[2])
  return {holder, redis.call('PTTL', KEYS[1])}
end
if ARGV[1] == '' then return {'', 0} end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return {ARGV[1], tonumber(ARGV[2])}
`)
	// renewScript extends a right, if it is still held.
	renewScript = client.NewLuaScript(`
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])
`)
	// releaseScript gives back a right, if it is still held, and publishes the word if some claim waits.
	releaseScript = client.NewLuaScript(`
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('DEL', KEYS[1])
if redis.call('DEL', KEYS[2]) == 1 then redis.call('PUBLISH', ARGV[2], ARGV[3]) end
return 1
`)
)

// Claims implements store.Claims on the server of a tier. Run must be running as long as fetches do. Claims is safe for concurrent use.
//
// Requests make claims, release them and wait for those of other instances. One goroutine of Run receives the words that other instances publish, another
// renews claims that are held. A claim is put into waiting before the server is asked who holds the right: otherwise a word that comes between the
// server's answer and the start of the wait would be missed, and the request would wait until the holder's claim expires.
type Claims struct {
	tier    *Tier
	channel string
	orphans chan *claim // claims that the server may have granted, and whose caller has got an error

	mu         lockorder.Mutex[lockorder.Claims]
	held       map[*claim]bool   // guarded by mu
	waiting    map[string]awaits // by the hash of the storage key; guarded by mu
	changed    chan struct{}     // closed, and another made, when words begin or cease to arrive; guarded by mu
	subscribed bool              // guarded by mu
}

type awaits map[*claim]bool

var _ store.Claims = (*Claims)(nil)

// NewClaims makes the claims of an instance. It dials nothing.
func NewClaims(t *Tier) *Claims {
	return &Claims{
		tier: t, channel: t.options.Prefix + ":landed", orphans: make(chan *claim, maxWrites),
		held: make(map[*claim]bool), waiting: make(map[string]awaits), changed: make(chan struct{}),
	}
}

// claim is one attempt to get the right to fetch. Its name is unique, so that releasing a right that has expired does not release that of the next holder.
type claim struct {
	claims *Claims
	hash   string // of the storage key
	name   string
	isHeld bool
	left   time.Duration // for how much longer the holder had the right, when the server was last asked
	// Results of Claims.subscription from before the server was last asked: a word may have been lost if they have changed since.
	changes    <-chan struct{}
	subscribed bool

	holder string            // name of the claim that has the right; empty until that is known; guarded by Claims.mu
	early  []word            // words that arrived before holder was known; guarded by Claims.mu
	ended  chan struct{}     // closed when how is set
	how    store.ClaimResult // guarded by Claims.mu until ended is closed
}

// Claim implements store.Claims.
func (c *Claims) Claim(ctx context.Context, key string) (store.Claim, error) {
	a := &claim{claims: c, hash: hash(key), name: rand.Text(), ended: make(chan struct{})}
	// Before the server is asked, so that no word is missed that comes after its answer.
	c.listenFor(a)
	holder, left, err := a.ask(ctx, "claim", a.name)
	if err != nil {
		c.forget(a)
		if !unsent(err) {
			c.abandon(a)
		}
		return nil, fmt.Errorf("claim fetch: %w", err)
	}
	a.left = left
	if holder == a.name {
		c.forget(a)
		a.isHeld = true
		c.mu.Lock()
		c.held[a] = true
		c.mu.Unlock()
		return a, nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	a.holder = holder
	for _, w := range a.early {
		a.receive(w)
	}
	a.early = nil
	return a, nil
}

// Held implements store.Claim.
func (a *claim) Held() bool { return a.isHeld }

// Release implements store.Claim. If the server cannot be reached, the claim expires.
func (a *claim) Release(how store.ClaimResult) {
	c := a.claims
	c.mu.Lock()
	delete(c.held, a)
	c.mu.Unlock()
	_ = a.release(context.Background(), how)
}

func (a *claim) release(ctx context.Context, how store.ClaimResult) error {
	said := word{hash: a.hash, name: a.name, how: how}
	_, err := within(ctx, a.claims.tier, operation{name: "release", timeout: a.claims.tier.patience, write: true}, func(ctx context.Context, c client.Client) (int64, error) {
		return releaseScript.Exec(ctx, c, a.keys(), []string{a.name, a.claims.channel, said.String()}).AsInt64()
	})
	return err
}

// Await implements store.Claim.
func (a *claim) Await(ctx context.Context) (store.ClaimResult, error) {
	defer a.claims.forget(a)
	for {
		pause := max(a.left, lookLeast) // by then the holder has renewed its claim, or the claim has expired
		if !a.subscribed {
			pause = min(pause, lookEvery)
		}
		select {
		case <-a.ended:
		case <-a.changes:
		case <-time.After(pause):
		case <-ctx.Done():
		}
		if a.over() {
			return a.how, nil
		}
		if err := ctx.Err(); err != nil {
			return store.Vacant, fmt.Errorf("await fetch of another instance: %w", err)
		}
		holder, left, err := a.ask(ctx, "await", "")
		if a.over() { // the word came while the server was asked; it also says how the claim has ended
			return a.how, nil
		}
		if ctx.Err() == nil && (err != nil || holder != a.holder) {
			return store.Vacant, nil
		}
		a.left = left
	}
}

func (a *claim) over() bool {
	select {
	case <-a.ended:
		return true
	default:
		return false
	}
}

// ask runs claimScript. With an empty name it only asks who has the right.
func (a *claim) ask(ctx context.Context, operate, name string) (holder string, left time.Duration, err error) {
	type answer struct {
		holder string
		left   int64
	}
	t := a.claims.tier
	a.changes, a.subscribed = a.claims.subscription()
	got, err := within(ctx, t, operation{name: operate, timeout: t.options.Timeout, write: true}, func(ctx context.Context, c client.Client) (answer, error) {
		parts, err := claimScript.Exec(ctx, c, a.keys(), []string{name, strconv.FormatInt(claimKeep.Milliseconds(), 10)}).ToArray()
		if err != nil || len(parts) != 2 {
			return answer{}, err
		}
		holder, err := parts[0].ToString()
		if err != nil {
			return answer{}, err
		}
		left, err := parts[1].AsInt64()
		return answer{holder, left}, err
	})
	return got.holder, min(max(time.Duration(got.left)*time.Millisecond, 0), claimKeep), err
}

func (a *claim) keys() []string {
	p := a.claims.tier.options.Prefix
	return []string{p + ":l:{" + a.hash + "}", p + ":w:{" + a.hash + "}"}
}

// abandon has keep release a claim that the server may have granted although the call has failed.
func (c *Claims) abandon(a *claim) {
	select {
	case c.orphans <- a:
	default: // the claim expires by itself
	}
}

// Run listens for the ends of other instances' claims and renews this one's, until ctx ends.
func (c *Claims) Run(ctx context.Context) error {
	var g errgroup.Group
	g.Go(func() error { c.listen(ctx); return nil })
	g.Go(func() error { c.keep(ctx); return nil })
	return g.Wait()
}

// keep renews the claims that are held, and releases orphans, until ctx ends.
func (c *Claims) keep(ctx context.Context) {
	again := time.NewTicker(renewEvery)
	defer again.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case a := <-c.orphans:
			_ = a.release(ctx, store.Vacant)
		case <-again.C:
			c.renew(ctx)
		}
	}
}

func (c *Claims) renew(ctx context.Context) {
	c.mu.Lock()
	held := make([]*claim, 0, len(c.held))
	for a := range c.held {
		held = append(held, a)
	}
	c.mu.Unlock()
	var g errgroup.Group
	g.SetLimit(renewers)
	for _, a := range held {
		g.Go(func() error {
			kept, err := within(ctx, c.tier, operation{name: "renew", timeout: c.tier.options.Timeout, write: true}, func(ctx context.Context, cl client.Client) (int64, error) {
				return renewScript.Exec(ctx, cl, a.keys()[:1], []string{a.name, strconv.FormatInt(claimKeep.Milliseconds(), 10)}).AsInt64()
			})
			if err == nil && kept == 0 { // it has run out, and others may fetch
				c.mu.Lock()
				delete(c.held, a)
				c.mu.Unlock()
			}
			return nil
		})
	}
	_ = g.Wait()
}
