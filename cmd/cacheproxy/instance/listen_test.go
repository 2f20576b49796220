package instance

import (
	"net"
	"os"
	"slices"
	"strings"
	"testing"
)

func TestRolesOfInheritedSockets(t *testing.T) {
	for _, c := range []struct{ names, want []string }{
		{[]string{}, []string{}},
		{[]string{"LISTEN_FD_3"}, []string{"data"}}, // one without a name
		{[]string{"web.socket"}, []string{"data"}},  // systemd's own name
		{[]string{"web.socket", "web.socket"}, []string{"data", "admin"}},
		{[]string{"admin"}, []string{"admin"}},
		{[]string{"admin", "data"}, []string{"admin", "data"}},
		{[]string{"data", "data"}, nil},
		{[]string{"a", "b", "c"}, nil},
	} {
		if got := rolesOf(c.names); !slices.Equal(got, c.want) || (got == nil) != (c.want == nil) {
			t.Errorf("sockets named %q: %q, want %q", c.names, got, c.want)
		}
	}
}

// A file that is no socket, and too many, are refused; a socket goes on to listen after its file is closed.
func TestInheritedSockets(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	socket := func() *os.File {
		f, err := l.(*net.TCPListener).File()
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	given, err := inherited([]*os.File{socket()})
	if err != nil || len(given) != 1 || given["data"].Addr().String() != l.Addr().String() {
		t.Fatalf("one socket: %v, %v", given, err)
	}
	closeAll(given)
	file, err := os.Create(t.TempDir() + "/file")
	if err != nil {
		t.Fatal(err)
	}
	if given, err := inherited([]*os.File{socket(), file}); err == nil || !strings.Contains(err.Error(), "take over socket admin") {
		t.Errorf("a file: %v, %v", given, err)
	}
	if given, err := inherited([]*os.File{socket(), socket(), socket()}); err == nil || !strings.Contains(err.Error(), "3 were handed over") {
		t.Errorf("three sockets: %v, %v", given, err)
	}
	if given, err := inherited(nil); err != nil || len(given) > 0 {
		t.Errorf("none: %v, %v", given, err)
	}
}
