package archive

import (
	"context"
	"os"
	"testing"
	"time"

	"cacheproxy/leaderboard"
	"cacheproxy/test/servers"

	"github.com/jackc/pgx/v5"
)

// While PostgreSQL is away, and however it went, the records keep what it lacks and the age of that grows; when it is back it gets all of it. What a
// server says that it has committed is on its disk, also where its default is not to wait for that.
func TestPostgreSQLCrashes(t *testing.T) {
	dir, err := os.MkdirTemp("", "postgres-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	// The writer of the log is slow, so that a commit that does not wait for it is lost for certain.
	server, err := servers.StartPostgres(t.Context(), dir, "wal_writer_delay=10s", "synchronous_commit=off")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Stop() })
	d := &database{tb: t, url: server.URL(), Conn: connect(t, server.URL()), role: "archiver"}
	d.do("CREATE ROLE archiver LOGIN PASSWORD '" + password + "'")
	if _, err := d.want().Install(t.Context(), d.Conn); err != nil {
		t.Fatal(err)
	}
	d.do("CHECKPOINT")
	h := &history{T: t, d: d, r: rules(leaderboard.Best), s: newRecords(noon()), lines: map[string]leaderboard.Line{}}
	a := d.archiver(h.s, Route{Rules: h.r})
	h.a = [2]*Archiver{a, d.archiver(h.s, Route{Rules: h.r})}
	submit := func(player string, score float64) {
		l := h.s.submit(h.r, "chess", player, score)
		h.lines[told(l)] = l
		h.s.advance(time.Second)
	}
	submit("alice", 1)
	d.mustLook(a) // Archived and Taken have been told of it
	server.Kill()
	submit("bob", 2)
	before := a.States()[0]
	d.due(a)
	if err := a.look(t.Context())(); err == nil {
		t.Error("a look without a database succeeds")
	}
	h.s.advance(2 * time.Minute)
	if after := a.States()[0]; after.Age <= before.Age || after.Failures == before.Failures {
		t.Errorf("before: %+v, after: %+v", before, after)
	}
	if err := server.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if d.Conn, err = pgx.Connect(context.Background(), server.URL()); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = d.Close(context.Background()) }()
	h.settle()
	same(t, "buckets", d.scores(h.r, "chess"), h.s.content(h.r, "chess"))
	archived := h.archivedLines()
	for k, l := range h.lines {
		if archived[k] != 1 {
			t.Errorf("submission %v is there %d times", l, archived[k])
		}
	}
	if age := a.States()[0].Age; age > 30*time.Second {
		t.Errorf("after it is back the age is %s", age)
	}
}
