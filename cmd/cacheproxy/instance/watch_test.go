package instance

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// Every folder in which a change can lead a path elsewhere is watched.
func TestFolders(t *testing.T) {
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for _, folder := range []string{"conf", "volume/..2026", "live", "archive/x"} {
		if err := os.MkdirAll(filepath.Join(dir, folder), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for _, file := range []string{"conf/plain", "volume/..2026/mounted", "archive/x/cert1.pem"} {
		if err := os.WriteFile(filepath.Join(dir, file), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for link, target := range map[string]string{
		"volume/..data": "..2026", "volume/mounted": "..data/mounted", "live/cert.pem": "../archive/x/cert1.pem",
		"etc": filepath.Join(dir, "live"), "loop": "loop", "conf/dangling": "nowhere/at/all",
	} {
		if err := os.Symlink(target, filepath.Join(dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct{ path, want string }{
		{"conf/plain", "conf"},
		{"volume/mounted", "volume volume volume/..2026"},
		{"etc/cert.pem", ". live archive/x"},
		{"conf/missing", "conf"},
		{"none/at/all", "."},
		{"conf/dangling", "conf conf"},
	} {
		var want []string
		for _, folder := range strings.Fields(c.want) {
			want = append(want, filepath.Join(dir, folder))
		}
		if got := folders(filepath.Join(dir, c.path)); !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", c.path, got, want)
		}
	}
	if got := folders(filepath.Join(dir, "loop")); len(got) > maxLinks+1 {
		t.Errorf("a loop gives %d folders", len(got))
	}
}
