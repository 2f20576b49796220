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
	// claimKeep is after how long without renewal a claim expires: its process is dead, or cannot reach the server.
	claimKeep  = 3 * time.Second
	renewEvery = claimKeep / 3
	// renewers bounds how many claims are renewed at a time.
	renewers = 16
	// lookEvery is how often a waiting claim asks the server while no word can reach this instance.
	lookEvery = 100 * time.Millisecond
	// lookLeast is the least pause between two questions of a waiting claim.
	lookLeast = 10 * time.Millisecond
)

var (
	// claimScript gives the right to fetch to the caller if nobody has it, and otherwise notes that somebody waits. The
	// script returns the holder's name and the remaining time of the right. A caller without a name never gets the
	// right.
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
	// renewScript renews a right that the caller still holds.
	renewScript = client.NewLuaScript(`
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])
`)
	// releaseScript gives back a right that the caller still holds, and publishes a word where somebody waits.
	releaseScript = client.NewLuaScript(`
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('DEL', KEYS[1])
if redis.call('DEL', KEYS[2]) == 1 then redis.call('PUBLISH', ARGV[2], ARGV[3]) end
return 1
`)
)

// Claims are kept on the server of a tier. Run must run for as long as fetches do. Claims is safe for concurrent use.
//
// Requests make claims, release them and wait for those of other instances. One goroutine of Run receives the words
// that other instances publish, another renews the held claims. A claim is in waiting before the server is asked who
// holds the right. Otherwise a word that comes between the server's answer and the start of the wait would go
// unnoticed, and the request would wait until the claim of the other instance expires.
type Claims struct {
	tier    *Tier
	channel string
	orphans chan *claim // claims that the server may have granted, and that no request has

	mu         lockorder.Mutex[lockorder.Claims]
	held       map[*claim]bool   // guarded by mu
	waiting    map[string]awaits // by the hash of the storage key; guarded by mu
	changed    chan struct{}     // closed and replaced when words begin or cease to arrive; guarded by mu
	subscribed bool              // guarded by mu
}

type awaits map[*claim]bool

var _ store.Claims = (*Claims)(nil)

// NewClaims makes the claims of an instance. It does not connect to the server.
func NewClaims(t *Tier) *Claims {
	return &Claims{
		tier: t, channel: t.options.Prefix + ":landed", orphans: make(chan *claim, maxWrites),
		held: make(map[*claim]bool), waiting: make(map[string]awaits), changed: make(chan struct{}),
	}
}

// claim is one attempt to get the right to fetch. Each claim has a name of its own, so that the late release of a right
// that has expired does not end the right of the next holder.
type claim struct {
	claims *Claims
	hash   string // of the storage key
	name   string
	isHeld bool
	left   time.Duration // the remaining time of the right at the last question to the server
	// changes and subscribed are the results of Claims.subscription before that question. A change since then may have
	// lost a word.
	changes    <-chan struct{}
	subscribed bool

	holder string            // name of the claim with the right; empty: not known yet; guarded by Claims.mu
	early  []word            // words that arrived before holder was known; guarded by Claims.mu
	ended  chan struct{}     // closed when how is set
	how    store.ClaimResult // guarded by Claims.mu until ended is closed
}

// Claim implements store.Claims.
func (c *Claims) Claim(ctx context.Context, key string) (store.Claim, error) {
	a := &claim{claims: c, hash: hash(key), name: rand.Text(), ended: make(chan struct{})}
	// The claim listens before the server is asked, so that no word after the server's answer is missed.
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
		pause := max(a.left, lookLeast) // by then the holder has renewed the right, or the right has expired
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
		if a.over() { // the word came during the question, and says more than the answer
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

// ask runs claimScript with the claim's keys and a name, which may be empty.
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

// abandon gives back a right that the server may have granted in a call that failed here.
func (c *Claims) abandon(a *claim) {
	select {
	case c.orphans <- a:
	default: // the right expires
	}
}

// Run receives the words of other instances and renews this instance's claims, until ctx ends.
func (c *Claims) Run(ctx context.Context) error {
	var g errgroup.Group
	g.Go(func() error { c.listen(ctx); return nil })
	g.Go(func() error { c.keep(ctx); return nil })
	return g.Wait()
}

// keep renews the held claims, and releases the orphans.
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
			if err == nil && kept == 0 { // the right has expired, and other instances may fetch
				c.mu.Lock()
				delete(c.held, a)
				c.mu.Unlock()
			}
			return nil
		})
	}
	_ = g.Wait()
}
