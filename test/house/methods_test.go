package house

import (
	"fmt"
	"go/ast"
	"go/token"
	"maps"
	"slices"
)

// maxMethods is how many methods a type may have: one with more is more than one idea. What it embeds has its own.
const maxMethods = 40

// manyMethods are types, as FOLDER.NAME, that are to be divided yet.
var manyMethods = []string{}

func checkMethods(files []*file) (findings []string) {
	methods := methodsOf(files)
	for _, name := range slices.Sorted(maps.Keys(methods)) {
		if n := methods[name]; n > maxMethods && !slices.Contains(manyMethods, name) {
			findings = append(findings, fmt.Sprintf("%s has %d methods, and %d are allowed: divide it by what its fields are for", name, n, maxMethods))
		}
	}
	return findings
}

// staleMethods finds exceptions that nothing needs.
func staleMethods(files []*file, excepted []string) (findings []string) {
	methods := methodsOf(files)
	for _, name := range excepted {
		if n := methods[name]; n <= maxMethods {
			findings = append(findings, fmt.Sprintf("%s has %d methods, as any type may: take it off the list", name, n))
		}
	}
	return findings
}

// methodsOf counts the methods of each type, tests apart.
func methodsOf(files []*file) map[string]int {
	methods := map[string]int{}
	for _, f := range files {
		if f.test() {
			continue
		}
		for _, d := range f.syntax.Decls {
			if function, ok := d.(*ast.FuncDecl); ok && function.Recv != nil {
				methods[f.folder()+"."+receiver(function)]++
			}
		}
	}
	return methods
}

// The status of an answer is decided once: these methods of delivery assign it, in the file that says why.
const statusFile = "proxy/delivery.go"

var statusMethods = []string{"settle", "broke", "compared"}

// checkStatus keeps every other code of package proxy from changing a field called status, or a part of it. Only delivery has one
// that changes; where others have one, they are given it when they are made.
func checkStatus(files []*file) (findings []string) {
	for _, f := range files {
		if f.folder() != "proxy" || f.test() {
			continue
		}
		for _, d := range f.syntax.Decls {
			if function, ok := d.(*ast.FuncDecl); ok && f.path == statusFile && function.Recv != nil &&
				receiver(function) == "delivery" && slices.Contains(statusMethods, function.Name.Name) {
				continue
			}
			ast.Inspect(d, func(n ast.Node) bool {
				for _, changed := range changedBy(n) {
					if hasStatus(changed) {
						findings = append(findings, f.at(changed.Pos(), "changes the status of an answer, as only %q of %s may: pass them what is to be said", statusMethods, statusFile))
					}
				}
				return true
			})
		}
	}
	return findings
}

// changedBy lists what a node changes, or hands out so that others can.
func changedBy(n ast.Node) []ast.Expr {
	switch n := n.(type) {
	case *ast.AssignStmt:
		return n.Lhs
	case *ast.IncDecStmt:
		return []ast.Expr{n.X}
	case *ast.RangeStmt:
		return []ast.Expr{n.Key, n.Value}
	case *ast.UnaryExpr:
		if n.Op == token.AND {
			return []ast.Expr{n.X}
		}
	case *ast.CompositeLit:
		if of, ok := n.Type.(*ast.Ident); ok && of.Name == "delivery" {
			return keysOf(n)
		}
	}
	return nil
}

// keysOf lists the fields that a literal sets by name.
func keysOf(literal *ast.CompositeLit) (keys []ast.Expr) {
	for _, element := range literal.Elts {
		if pair, ok := element.(*ast.KeyValueExpr); ok {
			if key, ok := pair.Key.(*ast.Ident); ok {
				keys = append(keys, &ast.SelectorExpr{X: literal.Type, Sel: key})
			}
		}
	}
	return keys
}

// hasStatus tells whether an expression is a field called status, or a part of one.
func hasStatus(e ast.Expr) bool {
	for {
		switch of := e.(type) {
		case *ast.SelectorExpr:
			if of.Sel.Name == "status" {
				return true
			}
			e = of.X
		case *ast.IndexExpr:
			e = of.X
		case *ast.ParenExpr:
			e = of.X
		case *ast.StarExpr:
			e = of.X
		default:
			return false
		}
	}
}
