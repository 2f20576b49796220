package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"cacheproxy/test/servers"

	"github.com/jackc/pgx/v5"
)

// The commands on a database: what plan prints is what install runs, psql takes it as well, and verify says what is not as it should be.
func TestPg(t *testing.T) {
	url := servers.Postgres(t)
	admin, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = admin.Close(context.Background()) })
	do := func(sql string) {
		t.Helper()
		if _, err := admin.Exec(t.Context(), sql); err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
	}
	do(`CREATE TABLE "Product; --" (id int PRIMARY KEY, "a""b" text, price int); CREATE ROLE cacheproxy LOGIN PASSWORD 'hunter2'`)
	consumer := strings.Replace(url, url[strings.Index(url, "//")+2:strings.Index(url, "@")], "cacheproxy", 1)
	file := filepath.Join(t.TempDir(), "cacheproxy.yaml")
	write := func(feeds string) {
		t.Helper()
		text := fmt.Sprintf("postgres:\n  url: %q\n  password: hunter2\n  feeds:\n%s\nupstreams: [{name: shop, url: \"http://127.0.0.1:9000\"}]\n", consumer, feeds)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	expect := func(want string, args ...string) string {
		t.Helper()
		out, err := run(t, pgCommand(), args...)
		if text := fmt.Sprintf("%s%v", out, err); !strings.Contains(text, want) || strings.Contains(text, "hunter2") {
			t.Errorf("%q: %s\nwant %q", args, text, want)
		}
		return out
	}

	write(`    - {table: nothing, tags: ["p:{id}"]}` + "\n" + `    - {table: "Product; --", columns: [cost], tags: ["p:{nr}"]}`)
	expect(file+":5: postgres.feeds: table public.nothing does not exist", "plan", file)
	expect(file+`:6: postgres.feeds: table public.Product; -- has no column "cost"; it has "id", "a""b", "price"`, "install", file, "--url", url)
	refused, err := run(t, checkCommand(), file, "--live")
	for _, line := range []string{"5: postgres.feeds: table public.nothing does not exist", "6: postgres.feeds: table public.Product; -- has no column"} {
		if !strings.Contains(refused, "\n"+file+":"+line) || err == nil || !strings.HasSuffix(err.Error(), ": 3 problems") { // the third is the upstream's, which does not run
			t.Errorf("check --live: %s %v\nwant %q", refused, err, line)
		}
	}

	write(`    - {table: "Product; --", columns: ["a\"b", price], tags: ["p:{id}"]}`)
	expect("lacks USAGE ON SCHEMA cacheproxy", "verify", file)
	expect("permission denied", "install", file)
	script := expect("BEGIN;", "plan", file, "--url", url)
	expect("CREATE TRIGGER", "plan", file) // still
	expect("done: ", "install", file, "--url", url)
	expect("is as "+file+" has it already", "install", file, "--url", url)
	expect("everything is installed already", "plan", file)
	expect("<nil>", "verify", file)
	out, err := run(t, checkCommand(), file, "--live")
	if !strings.Contains(out, "installation") || strings.Contains(out, "postgres: ") || err == nil { // of the upstream, which does not run
		t.Errorf("check --live: %s %v", out, err)
	}
	do(`ALTER TABLE "Product; --" DISABLE TRIGGER USER`)
	expect("_insert of public.Product; -- is disabled", "verify", file)
	if out, err := run(t, checkCommand(), file, "--live"); err == nil || !strings.Contains(out, "is disabled; run cacheproxy pg install") {
		t.Errorf("check --live: %s %v", out, err)
	}
	expect("done: ", "uninstall", file, "--url", url)
	expect("nothing is installed", "uninstall", file, "--url", url)

	psql, err := exec.LookPath("psql")
	if err != nil {
		t.Skip("psql is not installed")
	}
	cmd := exec.CommandContext(t.Context(), psql, "-X", "-v", "ON_ERROR_STOP=1", "-f", "-", url)
	cmd.Stdin = strings.NewReader(script)
	if said, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("psql: %v\n%s", err, said)
	}
	expect("<nil>", "verify", file)
}

// Where only a route has an archive, its part is installed and no other; and an uninstall takes it where it is told to, and not else.
func TestPgArchive(t *testing.T) {
	url := servers.Postgres(t)
	file := filepath.Join(t.TempDir(), "cacheproxy.yaml")
	text := fmt.Sprintf(`postgres: {url: %q}
valkey: {url: "valkey://127.0.0.1:1", secrets: [0123456789abcdef0123456789abcdef]}
upstreams: [{name: game, url: "http://127.0.0.1:9000", host: upstream}]
routes:
  - name: scores
    match: ["POST /games/{game}/scores", "GET /games/{game}/leaderboard"]
    upstream: game
    policy: leaderboard
    leaderboard: {board: "{game}", window: 24h, authorize: none, archive: {}}
`, url)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ command, says, saysNot string }{
		{"verify", "the archive of leaderboards is not installed", ""},
		{"plan", "CREATE SCHEMA leaderboard_archive", "CREATE SCHEMA cacheproxy"},
		{"install", "done: ", ""},
		{"verify", "<nil>", ""},
		{"uninstall", "nothing but the archive of leaderboards is installed", "done"},
		{"verify", "<nil>", ""},
		{"uninstall --archive", "DROP SCHEMA leaderboard_archive", ""},
		{"uninstall --archive", "nothing is installed", ""},
	} {
		out, err := run(t, pgCommand(), append(strings.Fields(c.command), file)...)
		if said := fmt.Sprintf("%s%v", out, err); !strings.Contains(said, c.says) || c.saysNot != "" && strings.Contains(said, c.saysNot) {
			t.Errorf("%s: %s\nwant %q", c.command, said, c.says)
		}
	}
}

// The same commands with a slot: the owner of the tables makes all but the slot, and the consumer makes that, with REPLICATION and nothing else.
func TestPgLogical(t *testing.T) {
	url := servers.Postgres(t, "wal_level=logical")
	admin, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = admin.Close(context.Background()) })
	if _, err := admin.Exec(t.Context(), `CREATE ROLE owner LOGIN PASSWORD 'hunter2'; CREATE ROLE cacheproxy LOGIN REPLICATION PASSWORD 'hunter2';
		CREATE TABLE product (id int PRIMARY KEY, slug text); ALTER TABLE product OWNER TO owner; GRANT CREATE ON DATABASE postgres TO owner`); err != nil {
		t.Fatal(err)
	}
	as := func(role string) string {
		return strings.Replace(url, url[strings.Index(url, "//")+2:strings.Index(url, "@")], role+":hunter2", 1)
	}
	file := filepath.Join(t.TempDir(), "cacheproxy.yaml")
	text := fmt.Sprintf("postgres: {url: %q, source: logical, feeds: [{table: product, urls: [\"/{slug}\"]}]}\nupstreams: [{name: shop, url: \"http://127.0.0.1:9000\"}]\n", as("cacheproxy"))
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	expect := func(want string, args ...string) string {
		t.Helper()
		out, err := run(t, pgCommand(), args...)
		if text := fmt.Sprintf("%s%v", out, err); !strings.Contains(text, want) {
			t.Errorf("%q: %s\nwant %q", args, text, want)
		}
		return out
	}
	script := expect("COMMIT;\n\n-- there is no slot cacheproxy\n", "plan", file)
	for _, part := range []string{"ALTER TABLE ONLY \"public\".\"product\" REPLICA IDENTITY FULL;", "CREATE PUBLICATION \"cacheproxy\" FOR TABLE ONLY", "max_slot_wal_keep_size is -1"} {
		if !strings.Contains(script, part) {
			t.Errorf("the plan lacks %s:\n%s", part, script)
		}
	}
	expect("there is no publication cacheproxy", "verify", file)
	expect("run pg install as a role with REPLICATION", "install", file, "--url", as("owner"))
	expect("there is no slot cacheproxy", "verify", file)
	expect("done: ", "install", file)
	expect("is as "+file+" has it", "verify", file)
	if out, _ := run(t, checkCommand(), file, "--live"); !strings.Contains(out, "slot cacheproxy, publication cacheproxy") || !strings.Contains(out, "max_slot_wal_keep_size") || strings.Contains(out, "postgres: ") {
		t.Errorf("check --live: %s", out)
	}
	uninstallAsBoth(t, expect, file, as("owner"))
	psql, err := exec.LookPath("psql")
	if err != nil {
		t.Skip("psql is not installed")
	}
	cmd := exec.CommandContext(t.Context(), psql, "-X", "-v", "ON_ERROR_STOP=1", "-f", "-", url)
	cmd.Stdin = strings.NewReader(script[strings.Index(script, "BEGIN;"):])
	if said, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("psql: %v\n%s", err, said)
	}
	expect("<nil>", "verify", file)
}

// uninstallAsBoth takes everything away as the two documented roles, in either order, and makes it again in between. Each says what it leaves.
func uninstallAsBoth(t *testing.T, expect func(want string, args ...string) string, file, owner string) {
	const slotLeft, publicationLeft = "slot cacheproxy is left", "publication cacheproxy is left: run pg uninstall as its owner, owner (--url)"
	done := func(want, left string, args ...string) {
		t.Helper()
		if out := expect(left, append([]string{"uninstall", file}, args...)...); !strings.Contains(out, want) {
			t.Errorf("%q: %s\nwant %q", args, out, want)
		}
	}
	done("pg_drop_replication_slot", publicationLeft)
	done("", publicationLeft)
	done("DROP PUBLICATION", "<nil>", "--url", owner)
	done("nothing is installed", "<nil>", "--url", owner)
	expect("run pg install as a role with REPLICATION", "install", file, "--url", owner)
	expect("done: ", "install", file)
	done("DROP PUBLICATION", slotLeft, "--url", owner)
	done("", slotLeft, "--url", owner)
	done("pg_drop_replication_slot", "<nil>")
	done("nothing is installed", "<nil>")
}

func TestPgWithoutDatabase(t *testing.T) {
	file := filepath.Join(t.TempDir(), "cacheproxy.yaml")
	if err := os.WriteFile(file, []byte("upstreams: [{name: shop, url: \"http://127.0.0.1:9000\"}]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args []string
		says string
	}{
		{[]string{"plan", file}, "has no postgres"}, {[]string{"verify"}, "1 argument missing"}, {[]string{"plan", file + "x"}, "no such file"},
	} {
		if _, err := run(t, pgCommand(), c.args...); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%q: %v, want %q", c.args, err, c.says)
		}
	}
}
