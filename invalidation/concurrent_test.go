package invalidation

import (
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"cacheproxy/policy"
)

// Once an invalidation has returned, no reader accepts a copy or a fetch from before it, while the log moves on, marks are
// pruned and copies are checked all the time.
func TestConcurrentReadersHeedWhatHasReturned(t *testing.T) {
	const members = 8
	rounds := 20_000
	if raceEnabled {
		rounds = 3_000
	}
	ledger := NewLedger()
	ledger.limit = 64 // the floor moves too
	for i := range ledger.shards {
		ledger.shards[i].sweep = 64
	}
	log := NewLocal(ledger, "one")
	var names [members]policy.Member
	var ids [members][]ID
	var returned [members]atomic.Uint64 // position up to which invalidations of the member have returned
	for i := range names {
		names[i] = policy.NewMember(policy.KindTag, strconv.Itoa(i))
		ids[i] = IDsOf([]policy.Member{names[i], policy.NewMember(policy.KindKey, "never")})
	}
	var done atomic.Bool
	var wg sync.WaitGroup
	for reader := range 4 {
		wg.Go(func() {
			var stamps [members]*Stamp
			for n := reader; !done.Load(); n++ {
				i := n % members
				if s := stamps[i]; s != nil {
					least := returned[i].Load()
					if ledger.Check(s, ids[i]) == Valid && s.Token().Position() < least {
						t.Errorf("copy at %d is valid although an invalidation at %d had returned", s.Token().Position(), least)
						return
					}
				}
				token := ledger.Token()
				runtime.Gosched()
				least := returned[i].Load()
				if !ledger.Admits(token, ids[i]) {
					continue
				}
				if token.Position() < least {
					t.Errorf("fetch at %d is admitted although an invalidation at %d had returned", token.Position(), least)
					return
				}
				stamps[i] = stamped(token)
			}
		})
	}
	for n := range rounds {
		i := n % members
		r := purge(t, log, false, names[i])
		returned[i].Store(r.Position)
		purge(t, log, false, policy.NewMember(policy.KindURL, strconv.Itoa(n)))
	}
	done.Store(true)
	wg.Wait()
	if ledger.floor.Load() == 0 && !raceEnabled {
		t.Error("the floor never rose: pruning was not under test")
	}
}

func TestCheckAllocatesNothing(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	ledger, ids := benchLedger()
	position := ledger.applied.Load()
	s := stamped(Token{1})
	if n := testing.AllocsPerRun(1000, func() {
		position++
		ledger.applied.Store(position) // past the fast path
		if ledger.Check(s, ids) != Valid || !ledger.Admits(Token{1}, ids) {
			t.Fatal("not valid")
		}
	}); n != 0 {
		t.Errorf("%v allocations per check, want 0", n)
	}
}

// benchLedger has seen an entry for each kind, none of them about the ids, which a usual copy has.
func benchLedger() (*Ledger, []ID) {
	ledger := NewLedger()
	members := []policy.Member{policy.All, "rshop", "kproduct:17", "tproduct-17", "tproduct-list", "uhost/products/17",
		"qhost/products/17", "phost/products", "phost/"}
	feed(ledger, Entry{IDs: IDsOf(members)})
	for i := range 10_000 {
		feed(ledger, Entry{IDs: []ID{IDOf(policy.NewMember(policy.MemberKind("rktuqp"[i%6]), strconv.Itoa(i)))}})
	}
	return ledger, IDsOf(members)
}

func BenchmarkCheckFast(b *testing.B) {
	ledger, ids := benchLedger()
	s := stamped(ledger.Token())
	b.ReportAllocs()
	for b.Loop() {
		if ledger.Check(s, ids) != Valid {
			b.Fatal("not valid")
		}
	}
}

// BenchmarkCheckMembers is the first check of a copy with nine members after an invalidation of something else.
func BenchmarkCheckMembers(b *testing.B) {
	ledger, ids := benchLedger()
	s := stamped(Token{1})
	b.ReportAllocs()
	for b.Loop() {
		s.checked.Store(1)
		if ledger.Check(s, ids) != Valid {
			b.Fatal("not valid")
		}
	}
}

func BenchmarkApply(b *testing.B) {
	ledger := NewLedger()
	ids := make([]ID, 1)
	b.ReportAllocs()
	for n := uint64(1); b.Loop(); n++ {
		ids[0] = ID(4)<<60 | ID(n*0x9e3779b97f4a7c15>>4)
		ledger.Apply(Entry{Position: n, IDs: ids}, epoch)
	}
}

// The position of an entry becomes visible only once all of its marks are: a copy checked in between would else be confirmed
// beyond an invalidation that it was never compared with.
func TestPositionFollowsTheMarks(t *testing.T) {
	ledger := NewLedger()
	first, second := ID(4)<<60|1, ID(4)<<60|2
	locked, unlock := make(chan struct{}), make(chan struct{})
	go func() { // not here, where the other shard is read: nobody holds the locks of two
		held := ledger.shard(second)
		held.mu.Lock()
		defer held.mu.Unlock()
		close(locked)
		<-unlock
	}()
	<-locked
	applied := make(chan struct{})
	go func() {
		defer close(applied)
		ledger.Apply(Entry{Position: 1, IDs: []ID{first, second}}, epoch)
	}()
	for marked := false; !marked; _, marked = ledger.mark(first) {
		runtime.Gosched()
	}
	if got := ledger.Token().Position(); got != 0 {
		t.Errorf("position %d is visible before its marks", got)
	}
	close(unlock)
	<-applied
	if got := ledger.Token().Position(); got != 1 {
		t.Errorf("position %d after the entry was applied, want 1", got)
	}
}
