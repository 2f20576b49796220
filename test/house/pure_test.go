package house

import (
	"go/ast"
	"slices"
	"strings"
)

// Packages that package policy may not import, those below each included: they read the world or change it.
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

// checkPure holds package policy, tests apart, to: same input, same output.
func checkPure(files []*file) (findings []string) {
	for _, f := range files {
		if !within(f.folder(), "policy") || f.test() {
			continue
		}
		findings = append(findings, impureImports(f)...)
		findings = append(findings, impureUses(f)...)
	}
	return findings
}

func impureImports(f *file) (findings []string) {
	for spec, imported := range f.imports {
		bad := slices.ContainsFunc(impure, func(p string) bool { return within(imported, p) })
		bad = bad || within(imported, "net") && !slices.Contains(netAllowed, imported)
		if bad {
			findings = append(findings, f.at(spec.Pos(), "package policy is pure and may not import %s: take what it gives as a parameter", imported))
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
			findings = append(findings, f.at(n.Pos(), "package policy starts no goroutines: return a decision and let the caller act"))
		case *ast.ChanType:
			findings = append(findings, f.at(n.Pos(), "package policy has no channels: return a decision and let the caller act"))
		case *ast.SelectorExpr:
			of, ok := n.X.(*ast.Ident)
			if !ok {
				return true
			}
			switch {
			case of.Name == clock && slices.Contains(timeForbidden, n.Sel.Name):
				findings = append(findings, f.at(n.Pos(), "package policy has no clock, and uses time.%s: take now as a parameter", n.Sel.Name))
			case of.Name == http && !describesMessage(n.Sel.Name):
				findings = append(findings, f.at(n.Pos(), "package policy does no I/O, and uses http.%s: only what describes a message is allowed", n.Sel.Name))
			case of.Name == print && prints(n.Sel.Name):
				findings = append(findings, f.at(n.Pos(), "package policy does no I/O, and uses fmt.%s: return what is to be said", n.Sel.Name))
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
