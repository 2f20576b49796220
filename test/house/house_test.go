// Package house holds the rules of this code base as tests: which package may import which, what the pure packages may
// not do, how long files and functions may be, how many methods a type has, what packages export, and a few habits. A rule that has to change is changed here, in the same
// commit as the code that needs it.
package house

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// A rule looks at every Go file of the module and tells what is wrong, each as "file:line: what: what to do".
type rule struct {
	name  string
	check func(files []*file) []string
}

var rules = []rule{
	{"imports run one way", checkImports},
	{"libraries stay where they belong", checkLibraries},
	{"policy is pure", pure("policy")},
	{"pgoutput is pure", pure("invalidation/postgres/pgoutput")},
	{"fleet is pure", pure("invalidation/fleet", "sync")},
	{"files are short", checkFileLength},
	{"functions are short", checkFunctionLength},
	{"packages are documented", checkPackageDoc},
	{"comments have nouns for subjects", checkComments},
	{"tests do not sleep", checkSleep},
	{"bubbles survive the race detector", checkBubbles},
	{"files are formatted", checkFormat},
	{"rules that are cited are written down", checkCitations},
	{"locks have an order", checkLocks},
	{"exported names are used outside", checkExported},
	{"types have few methods", checkMethods},
	{"the status of an answer is set once", checkStatus},
}

func TestHouse(t *testing.T) {
	files := load(t)
	for _, r := range rules {
		t.Run(r.name, func(t *testing.T) {
			for _, finding := range r.check(files) {
				t.Error(finding)
			}
		})
	}
}

// Every exception is needed, and whatever the layers allow is used: the tables say what is, and grow narrower with the code.
func TestExceptionsAreNeeded(t *testing.T) {
	files := load(t)
	findings := slices.Concat(staleMethods(files, manyMethods), staleExports(files, vocabularies, unusedYet), unusedLayers(files, layers))
	for _, finding := range findings {
		t.Error(finding)
	}
}

// The floors are those that docs/architecture.md names, and what the layers allow goes down from one to the next.
func TestFloors(t *testing.T) {
	findRoot(t)
	for _, finding := range upward(layers, floors) {
		t.Error(finding)
	}
	text, err := os.ReadFile("../../docs/architecture.md")
	if err != nil {
		t.Fatal(err)
	}
	var named []string
	for _, floor := range floors {
		var names []string
		for _, folder := range floor {
			names = append(names, "`"+path.Base(folder)+"`")
		}
		named = append(named, strings.Join(names, " and "))
	}
	if want := "From the ground up: " + strings.Join(named, ", ") + "."; !bytes.Contains(text, []byte(want)) {
		t.Errorf("docs/architecture.md does not say %q", want)
	}
}

// file is one parsed Go file.
type file struct {
	path   string // from the root of the module, with slashes
	source []byte
	set    *token.FileSet
	syntax *ast.File
}

func (f *file) folder() string { return path.Dir(f.path) }

func (f *file) base() string { return path.Base(f.path) }

func (f *file) test() bool { return strings.HasSuffix(f.path, "_test.go") }

// at formats a finding about a place in the file.
func (f *file) at(pos token.Pos, format string, args ...any) string {
	return fmt.Sprintf("%s:%d: ", f.path, f.set.Position(pos).Line) + fmt.Sprintf(format, args...)
}

// imports yields every import with its path unquoted.
func (f *file) imports(yield func(spec *ast.ImportSpec, imported string) bool) {
	for _, spec := range f.syntax.Imports {
		imported, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			panic("import path that parsed does not unquote: " + err.Error())
		}
		if !yield(spec, imported) {
			return
		}
	}
}

// localName is what the file calls an imported package; empty where it does not import it.
func (f *file) localName(imported string) string {
	for spec, got := range f.imports {
		if got != imported {
			continue
		}
		if spec.Name != nil {
			return spec.Name.Name
		}
		return path.Base(imported)
	}
	return ""
}

func parse(name string, source []byte) (*file, error) {
	set := token.NewFileSet()
	syntax, err := parser.ParseFile(set, name, source, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return nil, fmt.Errorf("parse file: %w", err)
	}
	return &file{path: name, source: source, set: set, syntax: syntax}, nil
}

// module is the path of the module under test; findRoot reads it.
var module string

func load(t *testing.T) []*file {
	t.Helper()
	root := findRoot(t)
	var files []*file
	err := filepath.WalkDir(root, func(name string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && name != root && skipFolder(entry.Name()):
			return filepath.SkipDir
		case entry.IsDir() || filepath.Ext(name) != ".go":
			return nil
		}
		source, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		relative, err := filepath.Rel(root, name)
		if err != nil {
			return err
		}
		f, err := parse(filepath.ToSlash(relative), source)
		if err != nil {
			return err
		}
		files = append(files, f)
		return nil
	})
	if err != nil {
		t.Fatalf("read the module: %v", err)
	}
	if len(files) < 20 {
		t.Fatalf("found %d Go files below %s: the rules look in the wrong place", len(files), root)
	}
	return files
}

// skipFolder leaves out what the go command leaves out.
func skipFolder(name string) bool {
	return strings.HasPrefix(name, ".") || strings.HasPrefix(name, "_") || name == "testdata" || name == "vendor"
}

// findRoot goes up to the folder of go.mod.
func findRoot(t *testing.T) string {
	t.Helper()
	folder, err := os.Getwd()
	if err != nil {
		t.Fatalf("find module: %v", err)
	}
	for {
		mod, err := os.ReadFile(filepath.Join(folder, "go.mod"))
		if err == nil {
			module = modulePath(mod)
			return folder
		}
		parent := filepath.Dir(folder)
		if !errors.Is(err, fs.ErrNotExist) || parent == folder {
			t.Fatalf("find module: %v", err)
		}
		folder = parent
	}
}

func modulePath(mod []byte) string {
	for lines := bufio.NewScanner(bytes.NewReader(mod)); lines.Scan(); {
		if name, ok := strings.CutPrefix(lines.Text(), "module "); ok {
			return strings.TrimSpace(name)
		}
	}
	return ""
}
