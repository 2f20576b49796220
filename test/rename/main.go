// Command rename changes the path of the module that it is run in, everywhere: in the go.mod files, in imports, in scripts and
// in documents. The path is where `go install` finds the program, so its owner chooses it.
//
//	go run ./test/rename example.org/x/cacheproxy
package main

import (
	"bytes"
	"errors"
	"fmt"
	"go/format"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "rename:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) != 1 || args[0] == "" {
		return errors.New("no path is given: make rename MODULE=example.org/x/cacheproxy")
	}
	changed, err := rename(".", args[0])
	if err != nil {
		return err
	}
	fmt.Printf("the module is %s now: %d files changed\n", args[0], changed)
	return nil
}

// rename changes the path of the module in a folder to the one given, and tells in how many files. After an error before the
// first file is written, nothing has changed.
func rename(root, to string) (changed int, err error) {
	if err := checkPath(to); err != nil {
		return 0, err
	}
	from, err := modulePath(root)
	if err != nil {
		return 0, err
	}
	if from == to {
		return 0, fmt.Errorf("the module is %s already: there is nothing to rename", to)
	}
	paths, err := files(root)
	if err != nil {
		return 0, err
	}
	texts := newRenamer(from, to, paths)
	renamed := map[string][]byte{}
	for _, path := range paths {
		old, err := os.ReadFile(filepath.Join(root, path))
		if err != nil {
			return 0, fmt.Errorf("read file: %w", err)
		}
		text, err := texts.rename(path, old)
		if err != nil {
			return 0, err
		}
		if !bytes.Equal(text, old) {
			renamed[path] = text
		}
	}
	for path, text := range renamed {
		if err := os.WriteFile(filepath.Join(root, path), text, 0); err != nil { // it exists, and keeps its mode
			return 0, fmt.Errorf("write file: %w; some files have the new path and some the old: restore them, then try again", err)
		}
	}
	return len(renamed), nil
}

var (
	host    = regexp.MustCompile(`^[a-z0-9][a-z0-9-]*(\.[a-z0-9-]+)+$`)
	element = regexp.MustCompile(`^[A-Za-z0-9_~-]([A-Za-z0-9._~-]*[A-Za-z0-9_~-])?$`)
)

// checkPath wants what `go install` can fetch (https://go.dev/ref/mod#module-path).
func checkPath(path string) error {
	elements := strings.Split(path, "/")
	switch {
	case strings.Contains(path, "://"):
		return fmt.Errorf("%q is a URL: leave out what is before the host", path)
	case !host.MatchString(elements[0]):
		return fmt.Errorf("%q is no module path: it has to begin with the name of a host in lower case, as in example.org/x/cacheproxy", path)
	case !slices.ContainsFunc(elements[1:], func(e string) bool { return e != "" }):
		return fmt.Errorf("%q is no module path: nothing follows the host, as in example.org/x/cacheproxy", path)
	}
	for _, e := range elements[1:] {
		if !element.MatchString(e) {
			return fmt.Errorf("%q is no module path: between slashes it needs letters, digits and any of - _ ~ ., with no dot at an end, and has %q", path, e)
		}
	}
	return nil
}

var moduleLine = regexp.MustCompile(`(?m)^module (\S+)$`)

func modulePath(root string) (string, error) {
	mod, err := os.ReadFile(filepath.Join(root, "go.mod"))
	if err != nil {
		return "", fmt.Errorf("find module: %w; run it in the folder of go.mod", err)
	}
	found := moduleLine.FindSubmatch(mod)
	if found == nil {
		return "", errors.New("find module: go.mod has no line that begins with module")
	}
	return string(found[1]), nil
}

// files lists what belongs to the project: neither its history nor what was built or installed.
func files(root string) (found []string, err error) {
	err = filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		switch name := entry.Name(); {
		case entry.IsDir() && (name == ".git" || name == "node_modules" || name == "bin"):
			return fs.SkipDir
		case !entry.Type().IsRegular() || name == ".git": // a worktree's is a file
			return nil
		}
		relative, err := filepath.Rel(root, path)
		found = append(found, relative)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("list files: %w", err)
	}
	return found, nil
}

// renamer finds the old path where it means the module. The word alone may be the program's name, and with a folder behind it
// a path on a machine (/etc/cacheproxy/config.yaml); a package is the path with a folder of the module that holds code behind it,
// and with nothing before it that belongs to a longer path.
type renamer struct {
	inMod, elsewhere *regexp.Regexp
	folders          map[string]bool
	to               string
}

func newRenamer(from, to string, paths []string) *renamer {
	old := regexp.QuoteMeta(from)
	r := &renamer{
		inMod:     regexp.MustCompile(`(?m)(?:^|[ \t])(` + old + `)(?:/\S*)?(?:[ \t]|$)`),
		elsewhere: regexp.MustCompile(`(?m)(?:^|[^A-Za-z0-9_./~-])(` + old + `)/([A-Za-z0-9_-]+)`),
		folders:   map[string]bool{},
		to:        to,
	}
	for _, path := range paths {
		if folder, _, below := strings.Cut(filepath.ToSlash(path), "/"); below && filepath.Ext(path) == ".go" {
			r.folders[folder] = true
		}
	}
	return r
}

func (r *renamer) rename(path string, text []byte) ([]byte, error) {
	pattern := r.elsewhere
	switch {
	case bytes.IndexByte(text, 0) >= 0 || filepath.Base(path) == "go.sum":
		return text, nil
	case filepath.Base(path) == "go.mod":
		pattern = r.inMod
	}
	var renamed []byte
	done := 0
	for _, m := range pattern.FindAllSubmatchIndex(text, -1) {
		if pattern == r.elsewhere && !r.folders[string(text[m[4]:m[5]])] {
			continue
		}
		renamed = append(append(renamed, text[done:m[2]]...), r.to...)
		done = m[3]
	}
	if done == 0 {
		return text, nil
	}
	renamed = append(renamed, text[done:]...)
	if filepath.Ext(path) != ".go" {
		return renamed, nil
	}
	formatted, err := format.Source(renamed) // puts the imports in order
	if err != nil {
		return nil, fmt.Errorf("format %s: %w", path, err)
	}
	return formatted, nil
}
