package valkey

import (
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	connection "cacheproxy/invalidation/valkey"
	"cacheproxy/test/servers"
)

// documented are the permissions that docs/leaderboard.md names for the user of the records.
func documented(t *testing.T) []string {
	t.Helper()
	document, err := os.ReadFile("../../docs/leaderboard.md")
	if err != nil {
		t.Fatal(err)
	}
	_, named, _ := strings.Cut(string(document), "Its user needs `")
	if named, _, _ = strings.Cut(named, "`"); !strings.HasPrefix(named, "+") {
		t.Fatal("the document names no permissions")
	}
	return strings.Fields(named)
}

// A user with exactly the documented permissions is refused nothing that the records do, from the connection on.
func TestDocumentedPermissions(t *testing.T) {
	for _, program := range servers.ValkeyPrograms() {
		t.Run(program, func(t *testing.T) {
			v := servers.Valkey(t, servers.ValkeyOptions{Program: program})
			cli := func(args ...string) string {
				t.Helper()
				out, err := v.CLI(t.Context(), args...)
				if err != nil {
					t.Fatal(out, err)
				}
				return out
			}
			// TYPE is for what the test itself looks at.
			cli("ACL", "SETUSER", "boards", "on", ">secret", "~{shop:lb:*", "-@all", "+type")
			for _, permission := range documented(t) {
				if _, err := v.CLI(t.Context(), "ACL", "SETUSER", "boards", permission); err != nil && permission != "+client|setinfo" { // which Redis 7.0 has not
					t.Error(err)
				}
			}
			r := openAt(t, connection.Server{Addresses: []string{v.Address()}, Username: "boards", Password: "secret"})
			var all sync.WaitGroup
			for i, rules := range allRules(time.Second) {
				if i%3 != 0 && !rules.Archived {
					continue
				}
				all.Go(func() {
					if err := play(t, []*Records{r}, rules, uint64(i), 300*time.Millisecond); err != nil {
						t.Errorf("%+v: %v", *rules, err)
					}
					if err := r.sweepRoute(t.Context(), rules); err != nil {
						t.Error(err)
					}
					if _, _, err := r.Measure(t.Context(), rules); err != nil {
						t.Error(err)
					}
				})
			}
			all.Wait()
			if refused := cli("ACL", "LOG"); refused != "" {
				t.Errorf("refused:\n%s", refused)
			}
		})
	}
}
