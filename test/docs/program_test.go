package docs

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// program is what there is to name.
type program struct {
	literals map[string]bool            // every string in the product's code, names in struct tags included
	folded   map[string]bool            // the same in lower case, for names of fields
	reasons  map[string]bool            // words of policy.Reason
	outcomes map[string]bool            // words of policy.Outcome
	types    map[string]bool            // of the product's code, which the architecture speaks of
	metrics  map[string]bool            // with their prefix
	keys     map[string]bool            // of the configuration: every segment of a path
	targets  map[string]bool            // of the Makefile
	commands map[string]map[string]bool // flags of each command, with their dashes
	tests    map[string][]string        // names of tests and benchmarks, and flags as -name, by folder
}

var readProgram = func() func(t *testing.T) *program {
	read := sync.OnceValues(newProgram)
	return func(t *testing.T) *program {
		t.Helper()
		p, err := read()
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
}()

func newProgram() (*program, error) {
	p := &program{
		literals: map[string]bool{}, folded: map[string]bool{}, reasons: map[string]bool{}, outcomes: map[string]bool{}, types: map[string]bool{}, metrics: map[string]bool{},
		keys: map[string]bool{}, targets: map[string]bool{}, commands: map[string]map[string]bool{}, tests: map[string][]string{},
	}
	for _, read := range []func() error{p.readCode, p.readKeys, p.readTargets, p.readCommands} {
		if err := read(); err != nil {
			return nil, err
		}
	}
	for what, n := range map[string]int{
		"reasons": len(p.reasons) - 50, "outcomes": len(p.outcomes) - 10, "metrics": len(p.metrics) - 40, "keys": len(p.keys) - 100,
		"targets": len(p.targets) - 10, "commands": len(p.commands) - 8,
	} {
		if n < 0 {
			return nil, fmt.Errorf("%d %s are missing: the program is not what readProgram takes it for", -n, what)
		}
	}
	return p, nil
}

// readCode takes the names out of all Go files.
func (p *program) readCode() error {
	return filepath.WalkDir(root, func(name string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && name != root && (strings.HasPrefix(entry.Name(), ".") || entry.Name() == "testdata" || entry.Name() == "bin"):
			return filepath.SkipDir
		case entry.IsDir() || filepath.Ext(name) != ".go":
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		if err != nil {
			return fmt.Errorf("parse code: %w", err)
		}
		path, err := filepath.Rel(root, name)
		if err != nil {
			return err
		}
		folder := filepath.ToSlash(filepath.Dir(path))
		if strings.HasSuffix(name, "_test.go") || strings.HasPrefix(folder, "test/") {
			p.readTests(file, folder)
		} else {
			p.readProduct(file, folder)
		}
		return nil
	})
}

func (p *program) readProduct(file *ast.File, folder string) {
	add := func(word string) {
		p.literals[word] = true
		p.folded[strings.ToLower(word)] = true
	}
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.Field:
			if n.Tag != nil {
				tag := reflect.StructTag(unquote(n.Tag))
				for _, key := range []string{"json", "yaml"} {
					word, _, _ := strings.Cut(tag.Get(key), ",")
					add(word)
				}
			}
		case *ast.BasicLit:
			if n.Kind == token.STRING {
				add(unquote(n))
			}
		case *ast.TypeSpec:
			p.types[n.Name.Name] = true
		case *ast.ValueSpec:
			for i, name := range n.Names {
				if i < len(n.Values) {
					p.readVocabulary(name.Name, n.Values[i])
				}
			}
		case *ast.CompositeLit:
			if folder == "observe" {
				p.addMetric(field(n, "Name"), field(n, "Help"))
			}
		case *ast.CallExpr:
			for i := 1; folder == "observe" && i < len(n.Args); i++ {
				p.addMetric(n.Args[i-1], n.Args[i])
			}
		}
		return true
	})
}

// readVocabulary takes the words out of the table of a closed vocabulary.
func (p *program) readVocabulary(name string, value ast.Expr) {
	words := map[string]map[string]bool{"reasonNames": p.reasons, "outcomeNames": p.outcomes}[name]
	table, ok := value.(*ast.CompositeLit)
	if words == nil || !ok {
		return
	}
	for _, element := range table.Elts {
		if pair, ok := element.(*ast.KeyValueExpr); ok {
			element = pair.Value
		}
		if word := text(element); word != "" {
			words[word] = true
		}
	}
}

var metricName = regexp.MustCompile(`^[a-z]+(_[a-z]+)*$`)

// addMetric adds a name, without or with what is put in front of it, that a sentence explains.
func (p *program) addMetric(name, help ast.Expr) {
	if sum, ok := name.(*ast.BinaryExpr); ok {
		name = sum.Y
	}
	word, sentence := strings.TrimPrefix(text(name), "_"), text(help)
	if metricName.MatchString(word) && strings.Contains(sentence, " ") && strings.HasSuffix(sentence, ".") {
		p.metrics["cacheproxy_"+word] = true
	}
}

// field is the value of a field in a composite literal; nil: it has none.
func field(literal *ast.CompositeLit, name string) ast.Expr {
	for _, element := range literal.Elts {
		if pair, ok := element.(*ast.KeyValueExpr); ok {
			if key, ok := pair.Key.(*ast.Ident); ok && key.Name == name {
				return pair.Value
			}
		}
	}
	return nil
}

// text is a string literal; empty: it is another expression.
func text(e ast.Expr) string {
	if literal, ok := e.(*ast.BasicLit); ok && literal.Kind == token.STRING {
		return unquote(literal)
	}
	return ""
}

// readTests notes the tests of a folder and the flags that its files define.
func (p *program) readTests(file *ast.File, folder string) {
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.FuncDecl:
			p.tests[folder] = append(p.tests[folder], n.Name.Name)
		case *ast.CallExpr:
			of, ok := n.Fun.(*ast.SelectorExpr)
			if !ok || len(n.Args) < 2 {
				return true
			}
			for _, argument := range n.Args[:2] { // Var has the name behind the variable
				if name := text(argument); name != "" && definesFlag(of.Sel.Name) {
					p.tests[folder] = append(p.tests[folder], "-"+name)
					break
				}
			}
		}
		return true
	})
}

func definesFlag(function string) bool {
	kind := strings.TrimSuffix(function, "Var")
	return slices.Contains([]string{"Bool", "Int", "Int64", "Uint", "Uint64", "Float64", "String", "Duration", "", "Func"}, kind)
}

func unquote(literal *ast.BasicLit) string {
	text, err := strconv.Unquote(literal.Value)
	if err != nil {
		panic("string that parsed does not unquote: " + err.Error())
	}
	return text
}

var keyName = regexp.MustCompile(`(?:^|[{, -])([a-z][a-z0-9_]*):(?: |$)`)

// readKeys takes the keys out of the example, which has all of them. What stands behind a second # explains.
func (p *program) readKeys() error {
	text, err := os.ReadFile(filepath.Join(root, "config.example.yaml"))
	if err != nil {
		return err
	}
	_, body, _ := strings.Cut(string(text), "\nlisten:")
	for _, line := range strings.Split("listen:"+body, "\n") {
		line = strings.TrimSpace(line)
		for strings.HasPrefix(line, "#") {
			line = strings.TrimSpace(line[1:])
		}
		line, _, _ = strings.Cut(line, " #")
		for _, m := range keyName.FindAllStringSubmatch(line, -1) {
			p.keys[m[1]] = true
		}
	}
	return nil
}

func (p *program) readTargets() error {
	text, err := os.ReadFile(filepath.Join(root, "Makefile"))
	if err != nil {
		return err
	}
	for _, m := range regexp.MustCompile(`(?m)^([a-z-]+):`).FindAllSubmatch(text, -1) {
		p.targets[string(m[1])] = true
	}
	return nil
}

var (
	commandLine = regexp.MustCompile(`(?m)^  ([a-z]+) +\S`)
	flagLine    = regexp.MustCompile(`(?m)^ +(?:(-[a-zA-Z]), |    )(--[a-z-]+)`)
)

// readCommands asks the program itself.
func (p *program) readCommands() error {
	help, err := output(exec.Command(binary, "--help"))
	if err != nil {
		return fmt.Errorf("ask for help: %w\n%s", err, help)
	}
	_, list, _ := strings.Cut(help, "Available Commands:")
	list, _, _ = strings.Cut(list, "\nFlags:")
	for _, m := range commandLine.FindAllStringSubmatch(list, -1) {
		if m[1] == "completion" || m[1] == "help" { // cobra's own
			continue
		}
		help, err := output(exec.Command(binary, m[1], "--help"))
		if err != nil {
			return fmt.Errorf("ask for help on %s: %w\n%s", m[1], err, help)
		}
		_, below, _ := strings.Cut(help, "Available Commands:") // whose flags count as its own
		below, _, _ = strings.Cut(below, "\nFlags:")
		for _, sub := range commandLine.FindAllStringSubmatch(below, -1) {
			more, err := output(exec.Command(binary, m[1], sub[1], "--help"))
			if err != nil {
				return fmt.Errorf("ask for help on %s %s: %w\n%s", m[1], sub[1], err, more)
			}
			help += more
		}
		flags := map[string]bool{}
		for _, f := range flagLine.FindAllStringSubmatch(help, -1) {
			flags[f[2]] = true
			if f[1] != "" {
				flags[f[1]] = true
			}
		}
		p.commands[m[1]] = flags
	}
	return nil
}

func output(cmd *exec.Cmd) (string, error) {
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	return out.String(), err
}

// flags are those of all commands.
func (p *program) flags() map[string]bool {
	all := map[string]bool{}
	for _, flags := range p.commands {
		maps.Copy(all, flags)
	}
	return all
}
