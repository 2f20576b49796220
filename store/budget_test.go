package store

import (
	"math"
	"math/rand/v2"
	"net/netip"
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
	if d := m.maximum.Load() - m.table.limit.Load(); d >= budgetStep || d < 0 {
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

// However clients come and go, one has no more than it leaves to others, and one that has nothing finds something.
func TestRoomOfClients(t *testing.T) {
	const most = 8 << 20
	b := Budget{limit: most * requestShare / fillShare, changed: func(int64) {}}
	client := func(i int) netip.Prefix { return netip.PrefixFrom(netip.AddrFrom4([4]byte{192, 0, 2, byte(i)}), 32) }
	r := rand.New(rand.NewPCG(1, 1))
	rooms, of := map[*Room]int{}, map[int]int64{}
	for range 20000 {
		if i := r.IntN(6); r.IntN(3) > 0 {
			room, n := b.Room(client(i)), r.Int64N(most/4)
			if room.Grow(n) {
				rooms[room], of[i] = i, of[i]+n
				if left := most - b.Reserved(); of[i] > left {
					t.Fatalf("a client has %d bytes, and %d are left", of[i], left)
				}
			} else if of[i]+n <= most-b.Reserved()-n {
				t.Fatalf("%d bytes were refused to one that has %d, while %d are left", n, of[i], most-b.Reserved())
			}
			continue
		}
		for room, i := range rooms {
			of[i] -= room.bytes
			delete(rooms, room)
			room.Release()
			break
		}
	}
	for room := range rooms {
		room.Release()
	}
	if nobody := b.Room(netip.Prefix{}); b.Reserved() != 0 || len(b.of) != 0 || !nobody.Grow(most) {
		t.Errorf("%d bytes are taken in the end, of %d clients", b.Reserved(), len(b.of))
	}
}
