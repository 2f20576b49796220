package house

import (
	"go/ast"
	"slices"
	"strings"
)

// Packages that a pure package may not import, those below each included: they read the world or change it.
var impure = []string{
	"os", "io/fs", "io/ioutil", "syscall", "embed", "database", "log", "runtime", "context",
	"math/rand", "crypto/rand", "testing", "unsafe", "plugin", "expvar", "sync",
}

// netAllowed are the packages below net that only describe things.
var netAllowed = []string{"net/http", "net/netip", "net/url", "net/textproto"}

// timeForbidden are the funcs of package time that read the clock or wait for it.
var timeForbidden = []string{"Now", "Since", "Until", "Sleep", "After", "AfterFunc", "Tick", "NewTimer", "NewTicker"}

// httpAllowed are the parts of net/http that describe a message; methods and statuses come on top.
var httpAllowed = []string{"Header", "Request", "Response", "Cookie", "ParseTime", "ParseCookie", "TimeFormat", "CanonicalHeaderKey"}

// pure holds the packages of a folder, tests apart, to: same input, same output. What is excepted of impure may be imported:
// locks make calls come one after another, and change nothing of what they give.
func pure(folder string, except ...string) func(files []*file) []string {
	return func(files []*file) (findings []string) {
		for _, f := range files {
			if !within(f.folder(), folder) || f.test() {
				continue
			}
			findings = append(findings, impureImports(f, except)...)
			findings = append(findings, impureUses(f)...)
		}
		return findings
	}
}

func impureImports(f *file, except []string) (findings []string) {
	for spec, imported := range f.imports {
		bad := slices.ContainsFunc(impure, func(p string) bool { return within(imported, p) })
		bad = bad || within(imported, "net") && !slices.Contains(netAllowed, imported)
		bad = bad && !slices.Contains(except, imported)
		if bad {
			findings = append(findings, f.at(spec.Pos(), "%s is pure and may not import %s: take what it gives as a parameter", f.folder(), imported))
		}
		if spec.Name != nil && spec.Name.Name == "." {
			findings = append(findings, f.at(spec.Pos(), "import of %s into the file's own names hides what is called: give it a name", imported))
		}
	}
	return findings
}

func impureUses(f *file) (findings []string) {
	clock, http, print := f.localName("time"), f.localName("net/http"), f.localName("fmt")
	ast.Inspect(f.syntax, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.GoStmt:
			findings = append(findings, f.at(n.Pos(), "%s starts no goroutines: return a decision and let the caller act", f.folder()))
		case *ast.ChanType:
			findings = append(findings, f.at(n.Pos(), "%s has no channels: return a decision and let the caller act", f.folder()))
		case *ast.SelectorExpr:
			of, ok := n.X.(*ast.Ident)
			if !ok {
				return true
			}
			switch {
			case of.Name == clock && slices.Contains(timeForbidden, n.Sel.Name):
				findings = append(findings, f.at(n.Pos(), "%s has no clock, and uses time.%s: take now as a parameter", f.folder(), n.Sel.Name))
			case of.Name == http && !describesMessage(n.Sel.Name):
				findings = append(findings, f.at(n.Pos(), "%s does no I/O, and uses http.%s: only what describes a message is allowed", f.folder(), n.Sel.Name))
			case of.Name == print && prints(n.Sel.Name):
				findings = append(findings, f.at(n.Pos(), "%s does no I/O, and uses fmt.%s: return what is to be said", f.folder(), n.Sel.Name))
			}
		}
		return true
	})
	return findings
}

func describesMessage(name string) bool {
	return strings.HasPrefix(name, "Method") || strings.HasPrefix(name, "Status") || slices.Contains(httpAllowed, name)
}

func prints(name string) bool {
	return strings.HasPrefix(name, "Print") || strings.HasPrefix(name, "Scan")
}
