package store

import (
	"math"
	"math/rand/v2"
	"sync"
	"testing"
)

func TestBudget(t *testing.T) {
	const limit = 4 * budgetStep
	var told []int64
	b := Budget{limit: limit, changed: func(n int64) { told = append(told, n) }}
	if !b.Reserve(limit) || b.Reserve(1) {
		t.Error("the limit is not where it should be")
	}
	for _, n := range []int64{math.MaxInt64, math.MaxInt64 - limit + 1} {
		if b.Reserve(n) {
			t.Errorf("%d bytes more were granted", n)
		}
	}
	b.Release(budgetStep - 1)
	b.Release(1)
	b.Release(3 * budgetStep)
	if b.Reserved() != 0 {
		t.Errorf("%d bytes are reserved, want none", b.Reserved())
	}
	want := []int64{limit, 3 * budgetStep, 0}
	if len(told) != 3 || told[0] != want[0] || told[1] != want[1] || told[2] != want[2] {
		t.Errorf("told %v, want %v: in steps, not each time", told, want)
	}
}

func TestBudgetConcurrently(t *testing.T) {
	m := NewMemory(64 << 20)
	b := m.Budget()
	var wg sync.WaitGroup
	for worker := range uint64(8) {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(worker, 1))
			var mine int64
			for range 2000 {
				if n := r.Int64N(4 << 20); b.Reserve(n) {
					mine += n
				}
				if have := b.Reserved(); have > b.limit {
					t.Errorf("%d bytes are reserved, more than %d", have, b.limit)
				}
				if r.IntN(2) == 0 {
					b.Release(mine)
					mine = 0
				}
			}
			b.Release(mine)
		})
	}
	wg.Wait()
	if b.Reserved() != 0 {
		t.Errorf("%d bytes are left", b.Reserved())
	}
	if d := m.maximum.Load() - int64(m.cache.GetMaximum()); d >= budgetStep || d < 0 {
		t.Errorf("the tier's maximum is short of %d bytes with nothing reserved", d)
	}
}

// What fills take, stored copies make room for.
func TestReservationsEvict(t *testing.T) {
	const maximum = 16 << 20
	m := NewMemory(maximum)
	fillUp(m, 2000, 16<<10)
	if !m.Budget().Reserve(maximum / fillShare) {
		t.Fatal("a fourth of the memory was refused")
	}
	m.Settle()
	if m.Bytes() > maximum {
		t.Errorf("%d bytes with fills in flight, more than %d", m.Bytes(), maximum)
	}
	m.Budget().Release(maximum / fillShare)
	fillUp(m, 2000, 16<<10)
	if m.Bytes() < maximum*9/10 {
		t.Errorf("only %d bytes are used after the fills have ended", m.Bytes())
	}
}
