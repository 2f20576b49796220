package house

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/format"
	"maps"
	"path"
	"slices"
)

// Lengths beyond which code is split: the house aims at 400 and 60 and leaves room for a comment more.
const (
	maxFileLines     = 450
	maxFunctionLines = 70
)

func checkFileLength(files []*file) (findings []string) {
	for _, f := range files {
		if lines := bytes.Count(f.source, []byte("\n")); !f.test() && lines > maxFileLines {
			findings = append(findings, fmt.Sprintf("%s has %d lines, and %d are allowed: split it by idea", f.path, lines, maxFileLines))
		}
	}
	return findings
}

func checkFunctionLength(files []*file) (findings []string) {
	for _, f := range files {
		if f.test() {
			continue
		}
		for _, d := range f.syntax.Decls {
			function, ok := d.(*ast.FuncDecl)
			if !ok {
				continue
			}
			lines := f.set.Position(function.End()).Line - f.set.Position(function.Pos()).Line + 1
			if lines > maxFunctionLines {
				findings = append(findings, f.at(function.Pos(), "%s has %d lines, and %d are allowed: name its steps", function.Name.Name, lines, maxFunctionLines))
			}
		}
	}
	return findings
}

// checkPackageDoc wants a comment on the package clause in one file of every folder; where a folder has only tests, in
// one of these.
func checkPackageDoc(files []*file) (findings []string) {
	type state struct{ code, documented, testDocumented bool }
	folders := map[string]state{}
	for _, f := range files {
		s := folders[f.folder()]
		documented := f.syntax.Doc != nil
		s.code = s.code || !f.test()
		s.documented = s.documented || documented && !f.test()
		s.testDocumented = s.testDocumented || documented && f.test()
		folders[f.folder()] = s
	}
	for _, folder := range slices.Sorted(maps.Keys(folders)) {
		if s := folders[folder]; !s.documented && (s.code || !s.testDocumented) {
			findings = append(findings, fmt.Sprintf("%s: no file has a package comment: say in doc.go or in the main file what the package is for", folder))
		}
	}
	return findings
}

// checkSleep lets tests sleep only in a bubble, where time is not the machine's.
func checkSleep(files []*file) (findings []string) {
	for _, f := range files {
		clock, bubble := f.localName("time"), f.localName("cacheproxy/test/bubbles")
		if !f.test() || clock == "" {
			continue
		}
		ast.Inspect(f.syntax, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			if calls(call, bubble, "Test") {
				return false
			}
			if calls(call, clock, "Sleep") {
				findings = append(findings, f.at(call.Pos(), "test sleeps: wait for the event, or run it in a bubbles.Test"))
			}
			return true
		})
	}
	return findings
}

// checkBubbles has tests take the bubbles that the race detector survives.
func checkBubbles(files []*file) (findings []string) {
	for _, f := range files {
		name := f.localName("testing/synctest")
		if name == "" || path.Dir(f.path) == "test/bubbles" {
			continue
		}
		ast.Inspect(f.syntax, func(n ast.Node) bool {
			if call, ok := n.(*ast.CallExpr); ok && calls(call, name, "Test") {
				findings = append(findings, f.at(call.Pos(), "bubble of synctest itself: take bubbles.Test, which says why"))
			}
			return true
		})
	}
	return findings
}

// calls tells whether a call is one of NAME.FUNCTION.
func calls(call *ast.CallExpr, name, function string) bool {
	selector, ok := call.Fun.(*ast.SelectorExpr)
	if !ok || selector.Sel.Name != function {
		return false
	}
	of, ok := selector.X.(*ast.Ident)
	return ok && of.Name == name
}

func checkFormat(files []*file) (findings []string) {
	for _, f := range files {
		formatted, err := format.Source(f.source)
		if err != nil {
			findings = append(findings, fmt.Sprintf("%s: %v", f.path, err))
		} else if !bytes.Equal(formatted, f.source) {
			findings = append(findings, fmt.Sprintf("%s: not formatted: run gofmt -w on it", f.path))
		}
	}
	return findings
}
