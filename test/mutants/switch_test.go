package mutants

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// variable names the mutant that a test binary is to be; unset: it is the product.
const variable = "CACHEPROXY_MUTANT"

// apply says why a mutant cannot be made, such as that the product does not hold what is to be replaced.
func (m mutant) apply(root string) error {
	for file, edits := range m.byFile() {
		source, err := os.ReadFile(filepath.Join(root, file))
		if err != nil {
			return fmt.Errorf("read file: %w", err)
		}
		if _, _, err := withMutants(file, string(source), map[int][]edit{0: edits}); err != nil {
			return err
		}
	}
	return nil
}

func (m mutant) byFile() map[string][]edit {
	edits := map[string][]edit{}
	for _, e := range m.edits {
		edits[e.file] = append(edits[e.file], e)
	}
	return edits
}

// switched lays over the product's files others that hold every mutant at once, so that the tests are compiled once and not
// once for each: a function with a rule to be switched off begins with a look at what this process is to be, and is followed by
// a copy of itself without the rule. It returns the file for -overlay.
func switched(t *testing.T, root string, mutants map[int]mutant) string {
	t.Helper()
	edits := map[string]map[int][]edit{} // by file and mutant
	for n, m := range mutants {
		for file, of := range m.byFile() {
			if edits[file] == nil {
				edits[file] = map[int][]edit{}
			}
			edits[file][n] = of
		}
	}
	dir := t.TempDir()
	replace := map[string]string{}
	lay := func(path, text string) {
		replace[path] = filepath.Join(dir, fmt.Sprint(len(replace), ".go"))
		if err := os.WriteFile(replace[path], []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for file, of := range edits {
		path := filepath.Join(root, file)
		source, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		text, name, err := withMutants(file, string(source), of)
		if err != nil {
			t.Fatal(err)
		}
		lay(path, text)
		if asked := filepath.Join(filepath.Dir(path), "mutant.go"); replace[asked] == "" {
			lay(asked, fmt.Sprintf("package %s\n\nimport \"os\"\n\nvar mutant = os.Getenv(%q)\n", name, variable))
		}
	}
	return overlayFile(t, dir, replace)
}

// withMutants gives the text of a file that holds its mutants beside it, and the name of its package.
func withMutants(file, source string, of map[int][]edit) (text, name string, err error) {
	set := token.NewFileSet()
	syntax, err := parser.ParseFile(set, file, source, parser.SkipObjectResolution)
	if err != nil {
		return "", "", fmt.Errorf("parse file: %w", err)
	}
	base := set.File(syntax.FileStart).Base()
	asks, copies := map[int]string{}, "" // asks by where they are inserted; those of several mutants follow each other
	for _, n := range sortedKeys(of) {
		functions := map[*ast.FuncDecl][]edit{}
		for _, e := range of[n] {
			at, err := e.find(source)
			if err != nil {
				return "", "", err
			}
			f := enclosing(syntax, base, at, at+len(e.old))
			if f == nil {
				return "", "", fmt.Errorf("what is to be replaced in %s is not inside one function: %q", file, e.old)
			}
			functions[f] = append(functions[f], e)
		}
		for f, edits := range functions {
			asks[int(f.Body.Lbrace)-base+1] += callOf(f, base, n, asks)
			copies += copyOf(source, base, f, edits, n)
		}
	}
	var b strings.Builder
	done := 0
	for _, at := range sortedKeys(asks) {
		b.WriteString(source[done:at] + asks[at])
		done = at
	}
	b.WriteString(source[done:] + copies)
	return b.String(), syntax.Name.Name, nil
}

// enclosing is the function whose body holds a piece of the source.
func enclosing(syntax *ast.File, base, start, end int) *ast.FuncDecl {
	for _, d := range syntax.Decls {
		if f, ok := d.(*ast.FuncDecl); ok && f.Body != nil && int(f.Body.Lbrace)-base < start && end < int(f.Body.End())-base {
			return f
		}
	}
	return nil
}

func mutantName(f *ast.FuncDecl, n int) string { return fmt.Sprintf("%sMutant%d", f.Name.Name, n) }

// callOf is the statement, on the line of the brace that it follows, by which a function gives way to its mutant. Parameters
// without a name are given one, in names by where it is inserted.
func callOf(f *ast.FuncDecl, base, n int, names map[int]string) string {
	called := mutantName(f, n)
	if f.Recv != nil {
		called = named(f.Recv, base, "_receiver", names)[0] + "." + called
	}
	call := fmt.Sprintf("%s(%s)", called, strings.Join(named(f.Type.Params, base, "_", names), ", "))
	if f.Type.Results == nil {
		return fmt.Sprintf(" if mutant == \"%d\" { %s; return };", n, call)
	}
	return fmt.Sprintf(" if mutant == \"%d\" { return %s };", n, call)
}

func named(fields *ast.FieldList, base int, prefix string, names map[int]string) (arguments []string) {
	for _, field := range fields.List {
		if len(field.Names) == 0 {
			name := fmt.Sprint(prefix, len(arguments))
			names[int(field.Pos())-base] = name + " "
			arguments = append(arguments, name)
		}
		for _, known := range field.Names {
			name := known.Name
			if name == "_" { // and becomes _0
				name = fmt.Sprint("_", len(arguments))
				names[int(known.End())-base] = name[1:]
			}
			arguments = append(arguments, name)
		}
		if _, many := field.Type.(*ast.Ellipsis); many {
			arguments[len(arguments)-1] += "..."
		}
	}
	return arguments
}

// copyOf is the mutant of a function.
func copyOf(source string, base int, f *ast.FuncDecl, edits []edit, n int) string {
	body := source[int(f.Body.Lbrace)-base : int(f.Body.End())-base]
	for _, e := range edits {
		body = strings.Replace(body, e.old, e.new, 1)
	}
	return "\n" + source[int(f.Pos())-base:int(f.Name.Pos())-base] + mutantName(f, n) + source[int(f.Name.End())-base:int(f.Body.Lbrace)-base] + body + "\n"
}

func sortedKeys[V any](m map[int]V) []int {
	keys := make([]int, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

func TestSwitch(t *testing.T) {
	const source = "package p\n\nfunc f(int) {}\n\nfunc (*t) g(_ int, b ...int) (n int) {\n\treturn n + 1\n}\n"
	text, name, err := withMutants("p.go", source, map[int][]edit{
		1: {{"p.go", "n + 1", "n + 2"}},
		2: {{"p.go", "return", "panic(1); return"}, {"p.go", " 1", " 3"}},
	})
	if err != nil || name != "p" {
		t.Fatal(name, err)
	}
	const want = "package p\n\nfunc f(int) {}\n\n" +
		"func (_receiver0 *t) g(_0 int, b ...int) (n int) {" +
		` if mutant == "1" { return _receiver0.gMutant1(_0, b...) }; if mutant == "2" { return _receiver0.gMutant2(_0, b...) };` + "\n\treturn n + 1\n}\n" +
		"\nfunc (*t) gMutant1(_ int, b ...int) (n int) {\n\treturn n + 2\n}\n" +
		"\nfunc (*t) gMutant2(_ int, b ...int) (n int) {\n\tpanic(1); return n + 3\n}\n"
	if text != want {
		t.Errorf("got\n%s\nwant\n%s", text, want)
	}
	for old, want := range map[string]string{"n": "holds what is to be replaced", "package p": "not inside one function", "func f": "not inside one function"} {
		if _, _, err := withMutants("p.go", source, map[int][]edit{1: {{"p.go", old, ""}}}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", old, err, want)
		}
	}
}
