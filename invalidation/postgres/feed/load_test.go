package feed

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"cacheproxy/invalidation"

	"github.com/jackc/pgx/v5"
)

var loadChanges = flag.Int("changes", 4000, "changes that TestLoad makes")

// purgedAt notes when each name was first purged.
type purgedAt struct {
	invalidation.Log
	at sync.Map
}

func (p *purgedAt) Invalidate(ctx context.Context, o invalidation.Order) (invalidation.Receipt, error) {
	receipt, err := p.Log.Invalidate(ctx, o)
	now := time.Now()
	for _, m := range o.Members {
		p.at.LoadOrStore(m.String(), now)
	}
	return receipt, err
}

// TestLoad makes changes from several sides, of which some are rolled back and some are late, while a foreign transaction is open and the
// consumer that is preferred is ended and begun again and again. Every change that was committed is purged, none that was not; how long that
// took is told, from commit to purge.
func TestLoad(t *testing.T) {
	url := database(t)
	load(t, url, func(*Options) {})
}

// TestSlotLoad does the same with changes that a slot tells of.
func TestSlotLoad(t *testing.T) { load(t, decoded(t), bySlot) }

func load(t *testing.T, url string, source func(*Options)) {
	foreign, err := dial(t, url).BeginTx(context.Background(), pgx.TxOptions{IsoLevel: pgx.RepeatableRead})
	if err != nil {
		t.Fatal(err)
	}
	do(t, foreign, "select pg_current_xact_id()")
	log := &purgedAt{Log: invalidation.NewLocal(invalidation.NewLedger(), "test")}
	share := func(preferred bool) func(*Options) {
		return func(o *Options) {
			o.Log, o.Preferred, o.Config.Poll = log, func() bool { return preferred }, 100*time.Millisecond
			o.between = func() {}
			source(o)
		}
	}
	consume(t, url, share(false))
	var next atomic.Int64
	var writers sync.WaitGroup
	var committed, undone sync.Map
	for range 4 {
		writer := dial(t, url)
		writers.Go(func() {
			for id := next.Add(1); id <= int64(*loadChanges); id = next.Add(1) {
				tx, err := writer.Begin(context.Background())
				if err != nil {
					t.Error(err)
					return
				}
				do(t, tx, "insert into product values ($1, 0)", id)
				name := fmt.Sprintf("tag:product:%d", id)
				switch rand.N(100) {
				case 0, 1, 2, 3, 4:
					undone.Store(name, true)
					err = tx.Rollback(context.Background())
				case 5: // late: many others commit meanwhile
					do(t, tx, "select pg_sleep(0.2)")
					fallthrough
				default:
					if err = tx.Commit(context.Background()); err == nil {
						committed.Store(name, time.Now())
					}
				}
				if err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	ended := make(chan struct{})
	go func() { writers.Wait(); close(ended) }()
	restarts := 0
	for done := false; !done; restarts++ {
		c := consume(t, url, share(true))
		select {
		case <-time.After(700 * time.Millisecond):
		case <-ended:
			done = true
		}
		c.stop()
	}
	consume(t, url, share(true)).clear()
	var took []time.Duration
	committed.Range(func(name, at any) bool {
		purged, ok := log.at.Load(name)
		if !ok {
			t.Errorf("%s was committed and not purged", name)
			return true
		}
		took = append(took, max(purged.(time.Time).Sub(at.(time.Time)), 0))
		return true
	})
	undone.Range(func(name, _ any) bool {
		if _, ok := log.at.Load(name); ok {
			t.Errorf("%s was rolled back and is purged", name)
		}
		return true
	})
	slices.Sort(took)
	t.Logf("%d changes committed, consumer begun %d times: from commit to purge p50 %v, p99 %v, most %v",
		len(took), restarts, took[len(took)/2], took[len(took)*99/100], took[len(took)-1])
}
