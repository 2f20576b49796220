package instance

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"cacheproxy/test/bubbles"
)

// However what a path leads to changes, the change is in force within seconds.
func TestFollowNoticesEveryChange(t *testing.T) {
	r := newReloading(t)
	dir := filepath.Dir(r.file)
	content := func(generation string) string {
		return strings.ReplaceAll(reloadingRoutes, "URL", r.url) + "trusted_proxies: [" + generation + "]\n"
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	volume := func(name, generation string) {
		must(os.Mkdir(filepath.Join(dir, name), 0o700))
		must(os.WriteFile(filepath.Join(dir, name, "cacheproxy.yaml"), []byte(content(generation)), 0o600))
		must(os.Symlink(name, filepath.Join(dir, "..data_tmp")))
		must(os.Rename(filepath.Join(dir, "..data_tmp"), filepath.Join(dir, "..data")))
	}
	bubbles.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- r.follow(ctx, nil) }()
		number := r.generations.number
		for _, c := range []struct {
			how    string
			change func()
			reread bool
		}{
			{"written", func() { must(os.WriteFile(r.file, []byte(content("10.0.0.1")), 0o600)) }, true},
			{"left alone", func() {}, false},
			{"replaced by a file", func() {
				must(os.WriteFile(r.file+".new", []byte(content("10.0.0.2")), 0o600))
				must(os.Rename(r.file+".new", r.file))
			}, true},
			{"removed", func() { must(os.Remove(r.file)) }, false},
			{"mounted", func() { volume("..1", "10.0.0.3"); must(os.Symlink("..data/cacheproxy.yaml", r.file)) }, true},
			{"mounted anew", func() { volume("..2", "10.0.0.4"); must(os.RemoveAll(filepath.Join(dir, "..1"))) }, true},
			{"replaced by a link", func() {
				must(os.WriteFile(filepath.Join(dir, "other"), []byte(content("10.0.0.5")), 0o600))
				must(os.Remove(r.file))
				must(os.Symlink("other", r.file))
			}, true},
		} {
			c.change()
			time.Sleep(lookEvery + settleTime)
			synctest.Wait()
			if c.reread {
				number++
			}
			if r.generations.number != number {
				t.Fatalf("%s: generation %d, want %d", c.how, r.generations.number, number)
			}
		}
		cancel()
		must(<-ended)
	})
}
