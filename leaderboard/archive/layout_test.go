package archive

import (
	"context"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"cacheproxy/invalidation/postgres"
	"cacheproxy/leaderboard"

	"github.com/jackc/pgx/v5"
)

func TestInstall(t *testing.T) {
	d := bareDatabase(t)
	if held, err := Held(t.Context(), d); held || err != nil {
		t.Fatalf("before: %t, %v", held, err)
	}
	steps, err := d.want().Install(t.Context(), d.Conn)
	if err != nil || len(steps) == 0 {
		t.Fatalf("install: %v, %v", steps, err)
	}
	if one[bool](d, "SELECT to_regnamespace('cacheproxy') IS NOT NULL") {
		t.Error("the feed is installed, which nobody has asked for")
	}
	if steps, err := d.want().Plan(t.Context(), d); err != nil || len(steps) > 0 {
		t.Errorf("again: %v, %v", steps, err)
	}
	if held, err := Held(t.Context(), d); !held || err != nil {
		t.Errorf("after: %t, %v", held, err)
	}
	// What a reporting person adds is left alone.
	d.do("CREATE INDEX mine ON leaderboard_archive.score (player)", "ALTER TABLE leaderboard_archive.score ADD COLUMN note text")
	if steps, err := d.want().Plan(t.Context(), d); err != nil || len(steps) > 0 {
		t.Errorf("with an index: %v, %v", steps, err)
	}
	d.do("CREATE TABLE leaderboard_archive.others ()")
	if _, err := postgres.Remove(t.Context(), d.Conn); err != nil || !one[bool](d, "SELECT to_regclass('leaderboard_archive.score') IS NOT NULL") {
		t.Errorf("an uninstall of the feed took the archive: %v", err)
	}
	if _, err := postgres.Remove(t.Context(), d.Conn, Layout{}); err != nil || one[bool](d, "SELECT to_regclass('leaderboard_archive.score') IS NOT NULL") {
		t.Errorf("an uninstall of the archive left it: %v", err)
	}
	if !one[bool](d, "SELECT to_regclass('leaderboard_archive.others') IS NOT NULL") {
		t.Error("an uninstall of the archive took what is not its own")
	}
}

// What is not as install makes it is refused, and never made anew.
func TestAltered(t *testing.T) {
	for sql, says := range map[string]string{
		"ALTER TABLE leaderboard_archive.score ENABLE ROW LEVEL SECURITY":               "row security is on",
		"ALTER TABLE leaderboard_archive.score DROP COLUMN at":                          "lacks: column at",
		"ALTER TABLE leaderboard_archive.submission DROP CONSTRAINT submission_pkey":    "lacks: constraint PRIMARY KEY",
		"ALTER TABLE leaderboard_archive.bucket SET UNLOGGED":                           "lacks: is a table",
		"CREATE RULE gone AS ON INSERT TO leaderboard_archive.score DO INSTEAD NOTHING": "rule gone",
		"UPDATE leaderboard_archive.installation SET version = 99":                      "has version 99",
		"DROP TABLE leaderboard_archive.board":                                          "board lacks",
		"DROP TABLE leaderboard_archive.installation":                                   "has no table installation",
	} {
		t.Run(says, func(t *testing.T) {
			d := newDatabase(t)
			d.do(sql)
			if _, err := d.want().Plan(t.Context(), d); err == nil || !strings.Contains(err.Error(), says) {
				t.Errorf("%s: %v, want %q", sql, err, says)
			}
		})
	}
}

// The archiver's role has what install gives it, and can do with nothing less.
func TestLeastPrivilege(t *testing.T) {
	d := newDatabase(t)
	rows, err := d.Query(t.Context(), `SELECT table_name::text, privilege_type::text FROM information_schema.role_table_grants WHERE grantee = $1`, d.role)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string][]string{}
	var table, privilege string
	if _, err := pgx.ForEachRow(rows, []any{&table, &privilege}, func() error { got[table] = append(got[table], privilege); return nil }); err != nil {
		t.Fatal(err)
	}
	for table, has := range got {
		if slices.Sort(has); !slices.Equal(has, slices.Sorted(slices.Values(privileges[table]))) {
			t.Errorf("the role has %v on %s, and should have %v", has, table, privileges[table])
		}
	}
	all := []string{"USAGE ON SCHEMA leaderboard_archive"}
	for _, table := range slices.Sorted(maps.Keys(privileges)) {
		for _, privilege := range privileges[table] {
			if table != "installation" { // which verify reads
				all = append(all, privilege+" ON TABLE leaderboard_archive."+table)
			}
		}
	}
	d.do("REVOKE TEMPORARY ON DATABASE " + d.Config().Database + " FROM PUBLIC")
	if steps, err := d.want().Install(t.Context(), d.Conn); err != nil || len(steps) != 1 {
		t.Fatalf("without TEMPORARY: %v, %v", steps, err)
	}
	all = append(all, "TEMPORARY ON DATABASE "+d.Config().Database)
	if err := everything(d); err != nil {
		t.Fatalf("with all privileges: %v", err)
	}
	for _, privilege := range all {
		t.Run(privilege, func(t *testing.T) {
			d.do("REVOKE " + privilege + " FROM " + d.role)
			if err := everything(d); err == nil {
				t.Errorf("the archiver does without %s", privilege)
			}
			steps, err := d.want().Plan(t.Context(), d)
			if err != nil || len(steps) != 1 || !strings.Contains(steps[0].Wrong, privilege[:strings.Index(privilege, " ON ")]) {
				t.Errorf("plan: %v, %v", steps, err)
			}
			if _, err := d.want().Install(t.Context(), d.Conn); err != nil {
				t.Error(err)
			}
		})
	}
}

// everything has an archiver do all that one does.
func everything(d *database) error {
	d.do("TRUNCATE leaderboard_archive.board, leaderboard_archive.bucket, leaderboard_archive.score, leaderboard_archive.submission")
	r := rules(leaderboard.Best)
	s := newRecords(time.Now().Add(-72 * time.Hour).Truncate(time.Minute))
	a := d.archiver(s, Route{Rules: r, Retention: 48 * time.Hour})
	for i := range 2 {
		s.submit(r, "chess", "alice", float64(i))
		if err := d.looks(a); err != nil {
			return err
		}
		s.advance(time.Second)
	}
	s.advance(time.Minute)
	s.submit(r, "chess", "bob", 1)
	for range 2 {
		if err := d.looks(a); err != nil {
			return err
		}
	}
	s.restore(nil)
	return d.looks(a)
}

func TestRemovalOfNothing(t *testing.T) {
	d := bareDatabase(t)
	if steps, err := (Layout{}).Removal(context.Background(), d); err != nil || len(steps) > 0 {
		t.Errorf("%v, %v", steps, err)
	}
}
