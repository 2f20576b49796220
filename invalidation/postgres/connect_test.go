package postgres

import (
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
)

// A URL means what it means to libpq: hosts are tried in their order, for one that takes writes, with the password of a file.
func TestParseURL(t *testing.T) {
	d := newDatabase(t)
	u, err := url.Parse(d.url)
	if err != nil {
		t.Fatal(err)
	}
	password, _ := u.User.Password()
	passfile := filepath.Join(t.TempDir(), "passfile")
	if err := os.WriteFile(passfile, []byte(fmt.Sprintf("%s:%s:*:postgres:%s\n", u.Hostname(), u.Port(), password)), 0o600); err != nil {
		t.Fatal(err)
	}
	name := strings.TrimPrefix(u.Path, "/")
	for _, text := range []string{
		fmt.Sprintf("postgres://postgres:%s@127.0.0.1:1,%s/%s?sslmode=disable&target_session_attrs=read-write", password, u.Host, name),
		fmt.Sprintf("postgres://postgres@%s/%s?sslmode=disable&passfile=%s", u.Host, name, url.QueryEscape(passfile)),
		fmt.Sprintf("host=%s port=%s user=postgres password=%s dbname=%s sslmode=prefer", u.Hostname(), u.Port(), password, name),
	} {
		if got := one[string](&database{tb: t, Conn: connect(t, text)}, "SELECT current_database()::text"); got != name {
			t.Errorf("%s: connected to %s", text, got)
		}
	}
	if c, err := ParseURL(d.url, "other"); err != nil || c.Password != "other" {
		t.Errorf("a password beside the URL: %v", err)
	}
	d.do("ALTER DATABASE " + name + " SET default_transaction_read_only = on")
	c, err := ParseURL(d.url+"&target_session_attrs=read-write", "")
	if err != nil {
		t.Fatal(err)
	}
	if conn, err := pgx.ConnectConfig(t.Context(), c); err == nil {
		_ = conn.Close(t.Context())
		t.Error("connected to a server that takes no writes")
	}
}
