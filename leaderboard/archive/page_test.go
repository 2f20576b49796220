package archive

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"cacheproxy/leaderboard"

	"github.com/jackc/pgx/v5"
)

// Every statement of the page for those who report runs as the role that the page makes, and says what was played.
func TestPageOfSQL(t *testing.T) {
	d := newDatabase(t)
	r := rules(leaderboard.Best)
	s := newRecords(time.Now().Add(-5 * time.Minute).Truncate(time.Minute))
	a := d.archiver(s, Route{Rules: r})
	d.mustLook(a)
	for _, m := range []struct {
		player string
		score  float64
	}{{"alice", 10}, {"bob", 30}, {"alice", 50}, {"carol", 50}, {"mallory", 99}, {"alice", 20}} {
		s.submit(r, "chess", m.player, m.score)
		s.advance(45 * time.Second)
	}
	s.advance(2 * time.Minute)
	d.mustLook(a)

	page, err := os.ReadFile("../../docs/leaderboard-sql.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := regexp.MustCompile("(?s)```sql\n(.*?)```").FindAllStringSubmatch(string(page), -1)
	want := []string{ // what each block says first, and of how many rows; a day or an hour may end meanwhile
		"", "1 mallory 99", "50", "chess", "6", "alice 10 50 3", "scores 0", "",
	}
	if len(blocks) != len(want) {
		t.Fatalf("%d blocks, want %d", len(blocks), len(want))
	}
	reader := connect(t, d.url)
	for i, b := range blocks {
		statements := strings.Split(strings.TrimSpace(b[1]), ";\n")
		for _, sql := range statements {
			// The day and the hour of the page may have just begun: what was played is of before.
			sql = strings.ReplaceAll(sql, "now()", "(now() - interval '10 minutes')")
			if strings.HasPrefix(sql, "CREATE ROLE") || strings.HasPrefix(sql, "GRANT") || strings.HasPrefix(sql, "DELETE") {
				d.do(sql)
				continue
			}
			if _, err := reader.Exec(t.Context(), "SET ROLE reporting"); err != nil {
				t.Fatal(err)
			}
			rows, err := reader.Query(t.Context(), sql)
			if err != nil {
				t.Fatalf("%s: %v", sql, err)
			}
			said, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (string, error) {
				values, err := row.Values()
				return fmt.Sprintln(values...), err
			})
			if err != nil {
				t.Fatalf("%s: %v", sql, err)
			}
			if text := strings.Join(said, ""); !strings.Contains(text, want[i]) || len(said) == 0 {
				t.Errorf("%s:\n%swant %q", sql, text, want[i])
			}
		}
	}
	if n := one[int](d, "SELECT count(*) FROM leaderboard_archive.score WHERE player = 'mallory'"); n != 0 {
		t.Errorf("%d scores of mallory are left", n)
	}
}
