package config

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// A password file is read anew for each connection.
func TestPasswordFileIsReadAnew(t *testing.T) {
	file := filepath.Join(t.TempDir(), "pgpass")
	write := func(password string) {
		t.Helper()
		if err := os.WriteFile(file, []byte("*:*:*:*:"+password+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("hunter1")
	s := mustLoad(t, oneUpstream+"routes: [{name: a, match: /, policy: cache-aside}]\n"+
		fmt.Sprintf("postgres: {url: \"postgres://c@127.0.0.1/shop?passfile=%s\", feeds: [{table: a, tags: [t]}]}\n", file))
	for _, want := range []string{"hunter1", "hunter2"} {
		write(want)
		c, err := s.Postgres.Source()
		if err != nil || c.Password != want {
			t.Errorf("password %q, want %q: %v", c.Password, want, err)
		}
	}
}
