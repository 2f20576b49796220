package valkey

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"cacheproxy/invalidation/valkey"
	"cacheproxy/store"
	"cacheproxy/test/servers"
)

// instance is what one process has of claims.
type instance struct {
	*Claims
	ends *tally
	stop func()
}

func newInstance(t *testing.T, s valkey.Server, set ...func(*Options)) *instance {
	t.Helper()
	ends := &tally{}
	o := options(connect(t, s), following(9))
	o.Observe = ends.note
	for _, f := range set {
		f(&o)
	}
	c := NewClaims(tier(t, o))
	i := &instance{c, ends, run(t, c.Run)}
	eventually(t, "it listens", func() bool { _, subscribed := c.subscription(); return subscribed })
	return i
}

func claimed(t *testing.T, c store.Claims, key string) store.Claim {
	t.Helper()
	a, err := c.Claim(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// awaited is how the wait for another's fetch ends, and after how long.
type awaited struct {
	how  store.ClaimResult
	took time.Duration
	err  error
}

func await(a store.Claim) <-chan awaited {
	end := make(chan awaited, 1)
	go func() {
		began := time.Now()
		how, err := a.Await(context.Background())
		end <- awaited{how, time.Since(began), err}
	}()
	return end
}

// One of all who ask fetches, and all others are told when it has, long before they would look for themselves.
func TestOneOfAllFetches(t *testing.T) {
	everywhere(t, func(t *testing.T, s valkey.Server) {
		instances := []*instance{newInstance(t, s), newInstance(t, s), newInstance(t, s)}
		for _, how := range []store.ClaimResult{store.Shared, store.Unshared, store.Vacant} {
			key := fmt.Sprint("key", how)
			var held store.Claim
			var mu sync.Mutex
			var ends []<-chan awaited
			var wg sync.WaitGroup
			for n := range 60 {
				wg.Go(func() {
					a, err := instances[n%3].Claim(t.Context(), key)
					if err != nil {
						t.Error(err)
						return
					}
					mu.Lock()
					defer mu.Unlock()
					switch {
					case !a.Held():
						ends = append(ends, await(a))
					case held != nil:
						t.Error("two have the right to fetch")
					default:
						held = a
					}
				})
			}
			wg.Wait()
			if held == nil || len(ends) != 59 {
				t.Fatalf("nobody has the right to fetch, or %d wait", len(ends))
			}
			released := time.Now()
			held.Release(how)
			for _, end := range ends {
				if got := <-end; got.how != how || got.err != nil {
					t.Errorf("released as %v, and one who waits is told %v, %v", how, got.how, got.err)
				}
			}
			if took := time.Since(released); took > claimKeep/2 {
				t.Errorf("the last was told after %v", took)
			} else {
				t.Logf("the last of 59 was told after %v", took)
			}
			again := claimed(t, instances[0], key)
			if !again.Held() {
				t.Error("what was released is not free")
			}
			again.Release(store.Vacant)
		}
		for n, i := range instances {
			if i.ends.of("await") != 0 || len(i.waiting) != 0 || len(i.held) != 0 {
				t.Errorf("instance %d: %d looked for themselves; %d wait and %d hold", n, i.ends.of("await"), len(i.waiting), len(i.held))
			}
		}
	})
}

// A claim holds for as long as its process lives, and no longer.
func TestClaimOutlivesItsTimeButNotItsProcess(t *testing.T) {
	_, s := alone(t, "")
	a, b := newInstance(t, s), newInstance(t, s)
	if !claimed(t, a, "key").Held() {
		t.Fatal("the first to ask does not get the right")
	}
	end := await(claimed(t, b, "key"))
	eventually(t, "it was renewed beyond its first time", func() bool { return a.ends.of("renew") > int(claimKeep/renewEvery)+1 })
	select {
	case got := <-end:
		t.Fatalf("who waits is told %v while the fetch is under way", got)
	default:
	}
	if claimed(t, b, "key").Held() {
		t.Fatal("two have the right to fetch")
	}
	a.stop()
	if got := <-end; got.how != store.Vacant || got.err != nil {
		t.Errorf("its process is dead, and who waits is told %v, %v", got.how, got.err)
	}
	if !claimed(t, b, "key").Held() {
		t.Error("the claim of a dead process is not free")
	}
}

// What was lost and is given back late is not what another has got since.
func TestLateReleaseIsNotAnothers(t *testing.T) {
	_, s := alone(t, "")
	a, b, c := newInstance(t, s), newInstance(t, s), newInstance(t, s)
	late := claimed(t, a, "key")
	cl := raw(t, s)
	if err := cl.Do(t.Context(), cl.B().Del().Key(a.tier.key('l', "key")).Build()).Error(); err != nil {
		t.Fatal(err)
	}
	now := claimed(t, b, "key")
	if !now.Held() {
		t.Fatal("what has run out is not free")
	}
	third := claimed(t, c, "key")
	end := await(third)
	late.Release(store.Shared)
	if claimed(t, a, "key").Held() {
		t.Error("a late release has freed the claim of another")
	}
	// Nor is a word of it taken for one of the other's.
	if err := cl.Do(t.Context(), cl.B().Publish().Channel(c.channel).Message(word{hash("key"), late.(*claim).name, store.Shared}.String()).Build()).Error(); err != nil {
		t.Fatal(err)
	}
	now.Release(store.Unshared)
	if got := <-end; got.how != store.Unshared {
		t.Errorf("who waits is told %v, which is not how the fetch ended that it waits for", got.how)
	}
	a.renew(t.Context())
	if len(a.held) != 0 {
		t.Error("a claim that is lost is renewed for ever")
	}
}

// A right that has run out is not renewed when somebody else has it.
func TestLostClaimIsNotRenewed(t *testing.T) {
	_, s := alone(t, "")
	a, b := newInstance(t, s), newInstance(t, s)
	claimed(t, a, "key")
	cl := raw(t, s)
	cl.Do(t.Context(), cl.B().Del().Key(a.tier.key('l', "key")).Build())
	claimed(t, b, "key")
	a.renew(t.Context())
	if len(a.held) != 0 {
		t.Error("it is still taken for held")
	}
}

// Nothing is published where nobody waits.
func TestNoWordWithoutEars(t *testing.T) {
	v, s := alone(t, "")
	a, b := newInstance(t, s), newInstance(t, s)
	published := func() bool {
		info, err := v.CLI(t.Context(), "INFO", "commandstats")
		if err != nil {
			t.Fatal(err)
		}
		return strings.Contains(info, "cmdstat_publish")
	}
	claimed(t, a, "key").Release(store.Shared)
	if published() {
		t.Error("a word was published that nobody waits for")
	}
	held := claimed(t, a, "key")
	end := await(claimed(t, b, "key"))
	held.Release(store.Shared)
	if got := <-end; got.how != store.Shared || !published() {
		t.Errorf("who waits is told %v", got.how)
	}
}

// A word that is lost with the subscription is not waited for.
func TestLostSubscription(t *testing.T) {
	v, s := alone(t, "")
	a, b := newInstance(t, s), newInstance(t, s)
	for n := range 20 {
		held, waits := claimed(t, a, "key"), claimed(t, b, "key")
		var end <-chan awaited
		if n%2 == 0 {
			end = await(waits)
		}
		if _, err := v.CLI(t.Context(), "CLIENT", "KILL", "TYPE", "pubsub"); err != nil {
			t.Fatal(err)
		}
		held.Release(store.Shared)
		if end == nil { // it began to wait after all that
			end = await(waits)
		}
		if got := <-end; got.how == store.Unshared || got.err != nil || got.took > claimKeep/2 {
			t.Errorf("who waits is told %v, %v after %v", got.how, got.err, got.took)
		}
		eventually(t, "it listens again", func() bool {
			_, first := a.subscription()
			_, second := b.subscription()
			return first && second
		})
	}
}

// Without a subscription at all, those who wait look for themselves.
func TestDeafInstance(t *testing.T) {
	_, s := alone(t, "")
	a := newInstance(t, s)
	b := NewClaims(tier(t, options(connect(t, s), following(9)))) // it does not run
	held := claimed(t, a, "key")
	end := await(claimed(t, b, "key"))
	held.Release(store.Shared)
	if got := <-end; got.how != store.Vacant || got.err != nil || got.took > claimKeep/2 {
		t.Errorf("who waits is told %v, %v after %v", got.how, got.err, got.took)
	}
}

// Who waits for one that died does not wait for another that has the right since.
func TestHolderIsReplacedUnheard(t *testing.T) {
	_, s := alone(t, "")
	a, c := newInstance(t, s), newInstance(t, s)
	b := NewClaims(tier(t, options(connect(t, s), following(9)))) // it hears nothing
	claimed(t, a, "key")
	waits := claimed(t, b, "key")
	cl := raw(t, s)
	if err := cl.Do(t.Context(), cl.B().Del().Key(a.tier.key('l', "key")).Build()).Error(); err != nil {
		t.Fatal(err)
	}
	if !claimed(t, c, "key").Held() {
		t.Fatal("what has run out is not free")
	}
	ctx, cancel := context.WithTimeout(t.Context(), claimKeep)
	defer cancel()
	if how, err := waits.Await(ctx); how != store.Vacant || err != nil {
		t.Errorf("who waits is told %v, %v", how, err)
	}
}

// Who is in a hurry need not wait.
func TestAwaitEndsWithItsContext(t *testing.T) {
	_, s := alone(t, "")
	a, b := newInstance(t, s), newInstance(t, s)
	claimed(t, a, "key")
	waits := claimed(t, b, "key")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := waits.Await(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("it ends with %v", err)
	}
	if len(b.waiting) != 0 {
		t.Error("it is still listened for")
	}
}

// When the server is slow each fetches for itself; and what it gave without anybody's learning of it is given back.
func TestSlowServerGivesNoClaim(t *testing.T) {
	v, direct := alone(t, "")
	g, s := newGate(t, v.Address())
	a := newInstance(t, s, func(o *Options) { o.Timeout = 50 * time.Millisecond })
	b := newInstance(t, direct)
	claimed(t, b, "another").Release(store.Vacant) // the server knows the scripts from now on, and needs to be asked once
	g.set(true, true)
	began := time.Now()
	if _, err := a.Claim(t.Context(), "key"); kind(err) != "timeout" || time.Since(began) > time.Second {
		t.Fatalf("claim at a slow server: %v after %v", err, time.Since(began))
	}
	if len(a.waiting) != 0 || len(a.held) != 0 {
		t.Errorf("%d wait and %d hold", len(a.waiting), len(a.held))
	}
	eventually(t, "the claim that nobody has is free", func() bool { return claimed(t, b, "key").Held() })
	if took := time.Since(began); took > claimKeep/2 {
		t.Errorf("it was free after %v, when it had run out", took)
	}
	g.set(false, false)
}

// Who waits when the server goes away is sent to fetch for itself.
func TestServerGoesWhileWaiting(t *testing.T) {
	v, s := alone(t, "")
	a, b := newInstance(t, s), newInstance(t, s)
	held := claimed(t, a, "key")
	end := await(claimed(t, b, "key"))
	v.Kill()
	if got := <-end; got.how != store.Vacant || got.err != nil {
		t.Errorf("who waits is told %v, %v", got.how, got.err)
	}
	held.Release(store.Shared) // there is nobody to tell
	if _, err := b.Claim(t.Context(), "key"); err == nil {
		t.Error("a dead server gives a claim")
	}
	if err := v.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	eventually(t, "claims are given again", func() bool {
		c, err := b.Claim(t.Context(), "key")
		return err == nil && c.Held()
	})
}

// Under many claims at once on few keys there is never more than one fetch of each, and nobody waits in vain.
func TestClaimsUnderLoad(t *testing.T) {
	_, s := alone(t, servers.ValkeyProgram)
	instances := []*instance{newInstance(t, s), newInstance(t, s), newInstance(t, s)}
	var fetching [4]atomic.Int32
	var fetches atomic.Int32
	var wg sync.WaitGroup
	for n := range 30 {
		wg.Go(func() {
			for round := range 40 {
				k := (n + round) % len(fetching)
				a, err := instances[n%3].Claim(t.Context(), fmt.Sprint("key", k))
				if err != nil {
					t.Error(err)
					return
				}
				if !a.Held() {
					if _, err := a.Await(t.Context()); err != nil {
						t.Error(err)
					}
					continue
				}
				if fetching[k].Add(1) != 1 {
					t.Error("two fetch the same")
				}
				fetches.Add(1)
				fetching[k].Add(-1)
				a.Release(store.ClaimResult(round % 3))
			}
		})
	}
	wg.Wait()
	for n, i := range instances {
		if i.ends.of("await") > 0 || i.ends.of("renew") > 30 {
			t.Errorf("instance %d: those who wait have looked %d times for themselves", n, i.ends.of("await"))
		}
	}
	t.Logf("%d fetches of 1200", fetches.Load())
}

// Words that nobody here has said are not understood.
func TestForeignWords(t *testing.T) {
	_, s := alone(t, "")
	a, b := newInstance(t, s), newInstance(t, s)
	held := claimed(t, a, "key")
	waits := claimed(t, b, "key").(*claim)
	for _, said := range []string{"", "x", strings.Repeat("x", hashLength+nameLength+1), hash("key") + held.(*claim).name, hash("key") + held.(*claim).name + "3"} {
		b.receive(said)
	}
	if waits.over() {
		t.Error("a word that makes no sense ended the wait")
	}
	b.receive(word{hash("key"), held.(*claim).name, store.Shared}.String())
	if !waits.over() {
		t.Error("the word did not end the wait")
	}
}
