package instance

import (
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/fsnotify/fsnotify"
)

const (
	// settleTime is how long files must be left alone before they are read: editors and volume managers make a change in
	// several steps.
	settleTime = 100 * time.Millisecond
	// settleAtMost is when they are read although they are still being changed.
	settleAtMost = 2 * time.Second
	// lookEvery is how often files are compared without being told of a change. Network and shared file systems tell of
	// none, and a watch can be lost.
	lookEvery = 10 * time.Second
	// maxLinks bounds how many symbolic links may lead to a file, as the system does.
	maxLinks = 40
)

// follow reloads the configuration when one of its files has changed or a signal asks for it, until ctx ends.
func (i *Instance) follow(ctx context.Context, hangup <-chan os.Signal) error {
	w := &fileWatch{instance: i, look: time.NewTimer(0)}
	defer w.look.Stop()
	if len(i.generations.watched().Paths()) > 0 {
		w.open()
		defer w.close()
	}
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-hangup:
			_, _ = i.reload(ctx, "SIGHUP") // it has told the log
		case <-i.generations.rearm:
			w.heard(true) // what changes while other folders are being watched is not heard of
		case _, ok := <-w.events():
			w.heard(ok)
		case err, ok := <-w.errors():
			if ok {
				i.log.Warn("watch of files disturbed; they are compared", "error", err)
			}
			w.heard(ok)
		case <-w.look.C:
			w.compare(ctx)
		}
	}
}

// fileWatch learns of changes in the folders that the files of the configuration are in. It belongs to one goroutine.
type fileWatch struct {
	instance *Instance
	notifier *fsnotify.Watcher // nil: files are only compared now and then
	look     *time.Timer       // when the files are compared next
	first    time.Time         // when the first change was heard of that was not looked at; zero: there is none
}

// open begins to watch. Where that is impossible, files are compared now and then.
func (w *fileWatch) open() {
	notifier, err := fsnotify.NewWatcher()
	if err != nil {
		w.instance.log.Warn("files of the configuration cannot be watched; they are compared every "+lookEvery.String(), "error", err)
		return
	}
	w.notifier = notifier
	w.arm()
}

func (w *fileWatch) close() {
	if w.notifier == nil {
		return
	}
	if err := w.notifier.Close(); err != nil {
		w.instance.log.Warn("watch of files not closed", "error", err)
	}
	w.notifier = nil
}

func (w *fileWatch) events() <-chan fsnotify.Event {
	if w.notifier == nil {
		return nil
	}
	return w.notifier.Events
}

func (w *fileWatch) errors() <-chan error {
	if w.notifier == nil {
		return nil
	}
	return w.notifier.Errors
}

// heard has the files compared once they are left alone. ok is false when the watch has ended by itself.
func (w *fileWatch) heard(ok bool) {
	if !ok {
		w.instance.log.Warn("watch of files ended; they are compared every " + lookEvery.String())
		w.notifier = nil
	}
	now := time.Now()
	if w.first.IsZero() {
		w.first = now
	}
	w.look.Reset(min(settleTime, w.first.Add(settleAtMost).Sub(now)))
}

// compare reloads the configuration when a file does not hold what was read.
func (w *fileWatch) compare(ctx context.Context) {
	w.first = time.Time{}
	w.arm() // first, so that what changes from here on is heard of
	if w.instance.generations.watched().Changed() {
		_, _ = w.instance.reload(ctx, "file change") // it has told the log
	}
	w.look.Reset(lookEvery)
}

// arm watches the folders that matter now. One that was there before is watched anew: it may have been replaced by another
// of the same name, of which the old watch would say nothing.
func (w *fileWatch) arm() {
	if w.notifier == nil {
		return
	}
	for _, folder := range w.notifier.WatchList() {
		_ = w.notifier.Remove(folder) // a folder that is gone is not watched any more
	}
	var all []string
	for _, path := range w.instance.generations.watched().Paths() {
		all = append(all, folders(path)...)
	}
	slices.Sort(all)
	for _, folder := range slices.Compact(all) {
		if err := w.notifier.Add(folder); err != nil {
			w.instance.log.Debug("folder not watched; its files are compared", "folder", folder, "error", err)
		}
	}
}

// folders lists the folders in which a change can make path lead to other content: that of the file, that of every
// symbolic link on the way, and where something is missing, the one in which it would have to appear.
func folders(path string) (list []string) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil
	}
	at, rest := split(path)
	for links := 0; len(rest) > 0 && links <= maxLinks; {
		name := filepath.Join(at, rest[0])
		rest = rest[1:]
		info, err := os.Lstat(name)
		switch {
		case err != nil:
			return append(list, at)
		case info.Mode()&fs.ModeSymlink != 0:
			list = append(list, at)
			target, err := os.Readlink(name)
			if err != nil {
				return list
			}
			links++
			if filepath.IsAbs(target) {
				root, names := split(target)
				at, rest = root, append(names, rest...)
			} else {
				rest = append(strings.Split(filepath.Clean(target), string(filepath.Separator)), rest...)
			}
			continue
		case len(rest) == 0:
			list = append(list, at)
		}
		at = name
	}
	return list
}

// split takes an absolute path apart into its root and its names.
func split(path string) (root string, names []string) {
	root = filepath.VolumeName(path) + string(filepath.Separator)
	rest := strings.TrimPrefix(filepath.Clean(path), root)
	return root, strings.FieldsFunc(rest, func(r rune) bool { return r == filepath.Separator })
}
