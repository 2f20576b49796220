package house

import (
	"go/ast"
	"regexp"
	"slices"
)

// protocol is the file whose package comment holds the rules that comments cite by number.
const protocol = "invalidation/fleet/doc.go"

var (
	citation   = regexp.MustCompile(`\bR[0-9]+[a-z]?\b`)
	definition = regexp.MustCompile(`(?m)^(R[0-9]+[a-z]?) [A-Z]`)
)

// checkCitations wants every rule of the protocol that a comment cites, such as R7, to stand in the protocol's document.
func checkCitations(files []*file) (findings []string) {
	defined := map[string]bool{}
	for _, f := range files {
		if f.path != protocol || f.syntax.Doc == nil {
			continue
		}
		for _, m := range definition.FindAllStringSubmatch(f.syntax.Doc.Text(), -1) {
			defined[m[1]] = true
		}
	}
	for _, f := range files {
		for _, group := range f.syntax.Comments {
			for _, comment := range group.List {
				for _, cited := range citation.FindAllString(comment.Text, -1) {
					if !defined[cited] {
						findings = append(findings, f.at(comment.Pos(), "rule %s is cited, and %s does not hold it: write it there, or name what is meant", cited, protocol))
					}
				}
			}
		}
	}
	return findings
}

// unordered are the folders whose locks stand outside the order: the order itself, and the tests' programs and the sample shop, of
// which nothing is called under a lock of the program.
var unordered = []string{"lockorder", "test", "cmd/cacheproxy/demo"}

// checkLocks wants every lock to have a place in the order of locks.
func checkLocks(files []*file) (findings []string) {
	for _, f := range files {
		locks := f.localName("sync")
		if f.test() || locks == "" || slices.ContainsFunc(unordered, func(folder string) bool { return within(f.folder(), folder) }) {
			continue
		}
		ast.Inspect(f.syntax, func(n ast.Node) bool {
			selector, ok := n.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			if of, ok := selector.X.(*ast.Ident); ok && of.Name == locks && (selector.Sel.Name == "Mutex" || selector.Sel.Name == "RWMutex") {
				findings = append(findings, f.at(n.Pos(), "lock has no place in the order of locks: make it a lockorder.%s of a class", selector.Sel.Name))
			}
			return true
		})
	}
	return findings
}
