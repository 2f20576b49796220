package instance

import (
	"os"
	"slices"
	"strconv"
	"testing"
)

func TestRolesOfInheritedSockets(t *testing.T) {
	for _, c := range []struct {
		names []string
		n     int
		want  []string
	}{
		{[]string{""}, 1, []string{"data"}},
		{[]string{"web.socket"}, 1, []string{"data"}}, // systemd's own name
		{[]string{"web.socket", "web.socket"}, 2, []string{"data", "admin"}},
		{[]string{"admin"}, 1, []string{"admin"}},
		{[]string{"admin", "data"}, 2, []string{"admin", "data"}},
		{[]string{"data", "data"}, 2, nil},
		{[]string{"a", "b", "c"}, 3, nil},
	} {
		if got := rolesOf(c.names, c.n); !slices.Equal(got, c.want) {
			t.Errorf("%d sockets named %q: %q, want %q", c.n, c.names, got, c.want)
		}
	}
}

// Sockets that another process was meant to have, or that are none, are left alone.
func TestNothingInherited(t *testing.T) {
	own := strconv.Itoa(os.Getpid())
	for _, env := range []map[string]string{
		{}, {"LISTEN_PID": "1", "LISTEN_FDS": "1"}, {"LISTEN_FDS": "1"}, {"LISTEN_PID": own}, {"LISTEN_PID": own, "LISTEN_FDS": "0"},
	} {
		given, err := inherited(func(name string) string { return env[name] }, func(string) error { return nil })
		if err != nil || len(given) > 0 {
			t.Errorf("%v: %v, %v", env, given, err)
		}
	}
}
