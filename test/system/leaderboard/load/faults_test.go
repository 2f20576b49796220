package load

import (
	"context"
	"fmt"
	"math/rand/v2"
	"reflect"
	"sync"
	"syscall"
	"testing"
	"time"
)

// While scores are submitted both instances are killed between COPY and COMMIT, and PostgreSQL is killed and stays away: in the end the archive has
// what was acknowledged, each submission once. Then the server of the records loses everything: nobody sees a part of the board, and it comes back.
func TestFaults(t *testing.T) {
	t.Parallel()
	r := start(t, 10*time.Minute, 5*time.Second, "--appendonly", "yes")
	r.faulty = true
	ctx, stop := context.WithCancel(t.Context())
	var submitting sync.WaitGroup
	submitting.Go(func() {
		for ctx.Err() == nil {
			r.pace(200, time.Now().Add(200*time.Millisecond), func(turn int) {
				r.submit(turn%2, fmt.Sprintf("player-%d", rand.IntN(*players)), rand.Int64N(1_000_000))
			})
		}
	})
	r.await("submissions in the archive", func() bool { return r.count("SELECT count(*) FROM leaderboard_archive.submission") > 0 })

	lock, err := r.database.Begin(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := lock.Exec(ctx, "LOCK TABLE leaderboard_archive.board IN EXCLUSIVE MODE"); err != nil {
		t.Fatal(err)
	}
	watch := connect(t, r.postgres.URL())
	r.await("both archivers at the end of their transactions", func() bool {
		return watch.count(t, `SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE 'INSERT INTO leaderboard_archive.board%'`) == 2
	})
	for i := range r.instances {
		p := r.instances[i].Load().Process
		if err := p.Signal(syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		<-p.Done()
	}
	if err := lock.Rollback(ctx); err != nil {
		t.Fatal(err)
	}
	for i := range r.instances {
		r.begin(i)
	}

	acked := r.model.acknowledged()
	r.await("submissions after the kill", func() bool { return r.model.acknowledged() > acked+100 })
	r.postgres.Kill()
	r.await("an age of what waits", func() bool { return r.age(0) > 8 && r.age(1) > 8 })
	if err := r.postgres.Start(ctx); err != nil {
		t.Fatal(err)
	}
	r.database = connect(t, r.postgres.URL())
	r.await("the archive to catch up", func() bool { return r.age(0) < 8 && r.age(1) < 8 })
	stop()
	submitting.Wait()
	r.archived()
	t.Logf("of %d submissions it is not known", r.model.unknown)

	want, err := r.read(0)
	if err != nil || len(want) != top {
		t.Fatalf("%d places: %v", len(want), err)
	}
	loads := func() float64 { return r.metric(0, "loads_total") + r.metric(1, "loads_total") }
	before := loads()
	if _, err := r.valkey.CLI(t.Context(), "flushall"); err != nil {
		t.Fatal(err)
	}
	emptied, refused := time.Now(), 0
	check := func(i int) bool {
		board, err := r.read(i)
		if err == nil && !reflect.DeepEqual(board, want) {
			t.Fatalf("instance %d shows %d places, which are not those of before", i, len(board))
		}
		if err != nil {
			refused++
		}
		return err == nil
	}
	r.await("the archive to be read back", func() bool { check(0); check(1); return loads() > before })
	for i := range r.instances {
		r.await("the board", func() bool { return check(i) })
	}
	t.Logf("%d reads were refused until the board was back, %s after its server lost it", refused, time.Since(emptied).Round(time.Millisecond))
}

// A server of records that comes back with the state of a while ago is not empty. It gets what the archive has beyond that, and what is submitted
// to it is archived, whatever ids it gives.
func TestRestoredFromAnOlderState(t *testing.T) {
	t.Parallel()
	r := start(t, 10*time.Minute, 5*time.Second)
	submit := func(from, to int) {
		for i := from; i < to; i++ {
			r.submit(i%2, fmt.Sprintf("player-%d", i), int64(i))
		}
	}
	submit(0, 150)
	if _, err := r.valkey.CLI(t.Context(), "save"); err != nil {
		t.Fatal(err)
	}
	submit(150, 300)
	r.await("submissions in the archive", func() bool {
		return r.count("SELECT count(*) FROM leaderboard_archive.submission") == 300 && r.count("SELECT count(DISTINCT player) FROM leaderboard_archive.score") == 300
	})
	want, err := r.read(0)
	if err != nil || len(want) != top || want[0].Score != 299 {
		t.Fatalf("%d places: %v", len(want), err)
	}
	r.valkey.Kill()
	if err := r.valkey.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	restored := time.Now()
	r.faulty = true
	r.await("the older state", func() bool { _, err := r.read(0); return err == nil })
	for i := range r.instances {
		r.await("the board of before", func() bool { board, err := r.read(i); return err == nil && reflect.DeepEqual(board, want) })
	}
	t.Logf("the board is as it was %s after its server was restored", time.Since(restored).Round(time.Millisecond))
	r.await("word that the records went back", func() bool { return r.metric(0, "mended_total")+r.metric(1, "mended_total") > 0 })
	r.faulty = false
	submit(300, 400)
	r.archived()
	if board, err := r.read(0); err != nil || len(board) != top || board[0].Score != 399 || board[top-1].Score != 300 {
		t.Errorf("%d places: %v", len(board), err)
	}
}

// age is what an instance says of how old that is which the archive lacks, in seconds.
func (r *run) age(instance int) float64 { r.Helper(); return r.metric(instance, "age_seconds") }

// metric is one of those that an instance has of the archive.
func (r *run) metric(instance int, name string) float64 {
	r.Helper()
	all, err := r.instances[instance].Load().Metrics(context.Background())
	if err != nil {
		return 0
	}
	family := all["cacheproxy_leaderboard_archive_"+name]
	if len(family.GetMetric()) != 1 {
		r.Fatalf("there is no metric %s", name)
	}
	return family.Metric[0].GetGauge().GetValue() + family.Metric[0].GetCounter().GetValue()
}
