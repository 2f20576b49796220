package invalidation

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"cacheproxy/policy"
	"cacheproxy/test/bubbles"
)

const (
	page  = policy.Member("kpage")
	list  = policy.Member("tlist")
	third = policy.Member("uhost/third")
)

func begin(t *testing.T, l Log, members ...policy.Member) *Fence {
	t.Helper()
	f, err := l.Begin(t.Context(), members)
	if err != nil {
		t.Fatalf("Begin: %v", err)
	}
	return f
}

func end(t *testing.T, l Log, f *Fence, further ...policy.Member) Receipt {
	t.Helper()
	r, err := l.End(t.Context(), f, Order{Members: further})
	if err != nil {
		t.Fatalf("End: %v", err)
	}
	return r
}

func purge(t *testing.T, l Log, soft bool, members ...policy.Member) Receipt {
	t.Helper()
	r, err := l.Invalidate(t.Context(), Order{Members: members, Soft: soft})
	if err != nil {
		t.Fatalf("Invalidate: %v", err)
	}
	return r
}

func admits(l *Ledger, m policy.Member) bool { return l.Admits(l.Token(), IDsOf([]policy.Member{m})) }

func TestLocalInvalidate(t *testing.T) {
	ledger := NewLedger()
	log := NewLocal(ledger, "one")
	hard, softly := stamped(ledger.Token()), stamped(ledger.Token())
	r := purge(t, log, false, page)
	if r.ID != "one-1" || r.Position != 1 || r.Instances != 1 || len(r.Acked) != 1 || r.Acked[0] != "one" {
		t.Errorf("receipt %+v", r)
	}
	purge(t, log, true, list)
	if got := ledger.Check(hard, IDsOf([]policy.Member{page, list})); got != Purged {
		t.Errorf("hard: %v", got)
	}
	if got := ledger.Check(softly, IDsOf([]policy.Member{list})); got != Soft {
		t.Errorf("soft: %v", got)
	}
}

// What the end of a fence, or an order by itself, overwrites in the ledger its receipt tells of.
func TestExclusive(t *testing.T) {
	for _, tc := range []struct {
		name string
		do   func(t *testing.T, l *Local) (Token, Receipt)
		want bool
	}{
		{"alone", func(t *testing.T, l *Local) (Token, Receipt) {
			purge(t, l, false, page, list) // before
			f := begin(t, l, page)
			return l.ledger.Token(), end(t, l, f, list)
		}, true},
		{"something else is purged meanwhile", func(t *testing.T, l *Local) (Token, Receipt) {
			f, since := begin(t, l, page), l.ledger.Token()
			purge(t, l, false, list)
			return since, end(t, l, f)
		}, true},
		{"the same is purged meanwhile", func(t *testing.T, l *Local) (Token, Receipt) {
			f, since := begin(t, l, page, list), l.ledger.Token()
			purge(t, l, false, list)
			return since, end(t, l, f)
		}, false},
		{"the same is softly purged meanwhile", func(t *testing.T, l *Local) (Token, Receipt) {
			f, since := begin(t, l, page), l.ledger.Token()
			purge(t, l, true, page)
			return since, end(t, l, f)
		}, false},
		{"what only its end names is purged meanwhile", func(t *testing.T, l *Local) (Token, Receipt) {
			f, since := begin(t, l, page), l.ledger.Token()
			purge(t, l, false, list)
			return since, end(t, l, f, page, list)
		}, false},
		{"the ledger has given up marks meanwhile", func(t *testing.T, l *Local) (Token, Receipt) {
			f, since := begin(t, l, page), l.ledger.Token()
			purge(t, l, false, third)
			l.ledger.RaiseFloor(l.ledger.Token().position)
			return since, end(t, l, f)
		}, false},
		{"first of two that overlap", func(t *testing.T, l *Local) (Token, Receipt) {
			f, since := begin(t, l, page), l.ledger.Token()
			begin(t, l, page)
			return since, end(t, l, f)
		}, false},
		{"second of two that overlap", func(t *testing.T, l *Local) (Token, Receipt) {
			first, second, since := begin(t, l, page), begin(t, l, page), l.ledger.Token()
			end(t, l, first)
			return since, end(t, l, second)
		}, false},
		{"within another that is still open", func(t *testing.T, l *Local) (Token, Receipt) {
			begin(t, l, page)
			f := begin(t, l, page)
			return l.ledger.Token(), end(t, l, f)
		}, false},
		{"another is open around what only its end names", func(t *testing.T, l *Local) (Token, Receipt) {
			begin(t, l, list)
			f := begin(t, l, page)
			return l.ledger.Token(), end(t, l, f, list)
		}, false},
		{"one after the other", func(t *testing.T, l *Local) (Token, Receipt) {
			end(t, l, begin(t, l, page))
			f := begin(t, l, page)
			return l.ledger.Token(), end(t, l, f)
		}, true},
		{"ended twice", func(t *testing.T, l *Local) (Token, Receipt) {
			f := begin(t, l, page)
			end(t, l, f)
			return l.ledger.Token(), end(t, l, f)
		}, false},
		{"an order without a fence", func(t *testing.T, l *Local) (Token, Receipt) {
			purge(t, l, false, page)
			since := l.ledger.Token()
			purge(t, l, false, list)
			return since, purge(t, l, false, page, third)
		}, true},
		{"an order without a fence, after another", func(t *testing.T, l *Local) (Token, Receipt) {
			since := l.ledger.Token()
			purge(t, l, true, page)
			return since, purge(t, l, false, page, third)
		}, false},
		{"an order while a fence stands", func(t *testing.T, l *Local) (Token, Receipt) {
			begin(t, l, page)
			return l.ledger.Token(), purge(t, l, false, page)
		}, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			since, receipt := tc.do(t, NewLocal(NewLedger(), "one"))
			if got := receipt.Exclusive(since); got != tc.want {
				t.Errorf("Exclusive = %v, want %v: since %d, %+v", got, tc.want, since.position, receipt)
			}
		})
	}
	if (Receipt{Position: 3}).Exclusive(Token{3}) {
		t.Error("a receipt that does not know says that the order was exclusive")
	}
}

func TestOverlappingFencesHoldUntilTheLastEnds(t *testing.T) {
	ledger := NewLedger()
	log := NewLocal(ledger, "one")
	first, second := begin(t, log, page, list), begin(t, log, page)
	before := ledger.Token()
	end(t, log, first)
	end(t, log, first) // ends once: must not take the second one's away
	if admits(ledger, page) {
		t.Fatal("the first fence's end took the second one away")
	}
	if !admits(ledger, list) {
		t.Fatal("a member that only the first fence held is still fenced")
	}
	end(t, log, second, third)
	if !admits(ledger, page) {
		t.Error("the fence outlives its last end")
	}
	for _, m := range []policy.Member{page, third} {
		if ledger.Admits(before, IDsOf([]policy.Member{m})) {
			t.Errorf("a fetch from before the end is admitted for %s", m)
		}
	}
}

// The further members of an end are invalidated only: a fence of another write on them stays.
func TestFurtherMembersKeepTheirFence(t *testing.T) {
	ledger := NewLedger()
	log := NewLocal(ledger, "one")
	other := begin(t, log, list)
	end(t, log, begin(t, log, page), list, page)
	if admits(ledger, list) {
		t.Error("naming a member as further took another write's fence away")
	}
	end(t, log, other)
	if !admits(ledger, list) || !admits(ledger, page) {
		t.Error("a fence stayed")
	}
}

// running starts Run in the bubble and returns what ends it and waits.
func running(t *testing.T, l *Local) (stop func()) {
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- l.Run(ctx) }()
	return func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	}
}

func TestAbandonedFenceEndsByItself(t *testing.T) {
	bubbles.Test(t, func(t *testing.T) {
		ledger := NewLedger()
		log := NewLocal(ledger, "one")
		stop := running(t, log)
		defer stop()
		long, short := begin(t, log, page), begin(t, log, list)
		log.Abandon(long, time.Minute)
		log.Abandon(short, time.Second) // due first although it came last
		within := ledger.Token()

		<-time.After(time.Second - 1)
		synctest.Wait()
		if admits(ledger, list) {
			t.Fatal("the fence ended before its time")
		}
		<-time.After(1)
		synctest.Wait()
		if !admits(ledger, list) || admits(ledger, page) {
			t.Fatal("after a second the one fence should have ended and the other not")
		}
		if ledger.Admits(within, IDsOf([]policy.Member{list})) {
			t.Error("the end did not invalidate what was fetched within the fence")
		}
		<-time.After(time.Minute)
		synctest.Wait()
		if !admits(ledger, page) {
			t.Error("the longer fence never ended")
		}
	})
}

func TestStoppingEndsAbandonedFences(t *testing.T) {
	bubbles.Test(t, func(t *testing.T) {
		ledger := NewLedger()
		log := NewLocal(ledger, "one")
		stop := running(t, log)
		abandoned, held := begin(t, log, page), begin(t, log, list)
		log.Abandon(abandoned, time.Hour)
		synctest.Wait()
		stop()
		if !admits(ledger, page) {
			t.Error("an abandoned fence outlives Run")
		}
		if admits(ledger, list) {
			t.Error("a fence whose write is under way was ended")
		}
		end(t, log, held)
	})
}

// Abandoning and ending the same fence, in either order and repeatedly, ends it once.
func TestAbandonedFenceEndsOnce(t *testing.T) {
	bubbles.Test(t, func(t *testing.T) {
		ledger := NewLedger()
		log := NewLocal(ledger, "one")
		stop := running(t, log)
		defer stop()
		f, other := begin(t, log, page), begin(t, log, page)
		log.Abandon(f, time.Second)
		log.Abandon(f, time.Second)
		end(t, log, f)
		log.Abandon(f, time.Second)
		position := ledger.Token()
		<-time.After(time.Minute)
		synctest.Wait()
		if admits(ledger, page) {
			t.Error("ending one fence several times took another away")
		}
		if position.Before(ledger.Token()) {
			t.Error("a fence that had ended was ended again when its time came")
		}
		end(t, log, other)
	})
}

// An invalidation that has to settle comes twice: what was fetched in between does not stay. So does the end of a fence.
func TestLocalSettle(t *testing.T) {
	for name, invalidate := range map[string]func(t *testing.T, l *Local){
		"a purge": func(t *testing.T, l *Local) {
			if _, err := l.Invalidate(t.Context(), Order{Members: []policy.Member{page}, Settle: time.Second}); err != nil {
				t.Fatal(err)
			}
		},
		"a write": func(t *testing.T, l *Local) {
			if _, err := l.End(t.Context(), begin(t, l, page), Order{Settle: time.Second}); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			bubbles.Test(t, func(t *testing.T) {
				ledger := NewLedger()
				log := NewLocal(ledger, "one")
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				go func() { _ = log.Run(ctx) }()
				invalidate(t, log)
				meanwhile := ledger.Token()
				time.Sleep(time.Second - 1)
				synctest.Wait()
				if !ledger.Admits(meanwhile, IDsOf([]policy.Member{page})) {
					t.Fatal("repeated too early")
				}
				time.Sleep(time.Nanosecond)
				synctest.Wait()
				if ledger.Admits(meanwhile, IDsOf([]policy.Member{page})) || !ledger.Admits(ledger.Token(), IDsOf([]policy.Member{page})) {
					t.Error("what was fetched before it has settled stays")
				}
			})
		})
	}
}
