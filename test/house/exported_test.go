package house

import (
	"fmt"
	"go/ast"
	"go/token"
	"path"
	"slices"
	"strings"
)

// maxExported is how many names a package may export without a word about why.
const maxExported = 60

// vocabulary is a package that exports more names than maxExported.
type vocabulary struct {
	names  int // as many as there are: fewer make this number smaller, and it never grows
	reason string
}

var vocabularies = map[string]vocabulary{
	"policy":           {172, "the words of the product: policies, outcomes and reasons are closed lists of constants"},
	"policy/httpcache": {129, "the words of the RFCs"},
}

// unusedYet are exported names, as FOLDER.NAME, that wait for their package to be divided.
var unusedYet = []string{}

// interfaceMethods are methods that the standard library calls through interfaces of its own, so that no selector has to name them.
var interfaceMethods = []string{
	"String", "GoString", "Error", "Unwrap", "Read", "Write", "Close", "ServeHTTP", "MarshalJSON", "MarshalText", "UnmarshalText", "LogValue",
}

// exempt tells the folders whose exported names need no user: the sample shop and the tests' programs are for themselves.
func exempt(folder string) bool {
	return within(folder, "cmd/cacheproxy/demo") || within(folder, "test")
}

// export is one exported name of a package.
type export struct {
	file   *file
	pos    token.Pos
	name   string
	method bool
	says   []ast.Node // where the declaration says types: its parameters, its definition
}

// exportsOf lists what the files of each folder export, tests apart.
func exportsOf(files []*file) map[string][]export {
	exports := map[string][]export{}
	for _, f := range files {
		if f.test() || f.syntax.Name.Name == "main" || exempt(f.folder()) {
			continue
		}
		for _, d := range f.syntax.Decls {
			exports[f.folder()] = append(exports[f.folder()], declared(f, d)...)
		}
	}
	return exports
}

// declared lists what a declaration exports. A method counts where its type is exported.
func declared(f *file, d ast.Decl) (all []export) {
	add := func(name *ast.Ident, method bool, says ...ast.Node) {
		if name.IsExported() {
			all = append(all, export{f, name.Pos(), name.Name, method, says})
		}
	}
	switch d := d.(type) {
	case *ast.FuncDecl:
		if d.Recv == nil {
			add(d.Name, false, d.Type)
		} else if ast.IsExported(receiver(d)) {
			add(d.Name, true, d.Type)
		}
	case *ast.GenDecl:
		for _, spec := range d.Specs {
			switch spec := spec.(type) {
			case *ast.TypeSpec:
				says := []ast.Node{spec.Type}
				if spec.TypeParams != nil {
					says = append(says, spec.TypeParams)
				}
				add(spec.Name, false, says...)
			case *ast.ValueSpec:
				for _, name := range spec.Names {
					if spec.Type == nil {
						add(name, false)
					} else {
						add(name, false, spec.Type)
					}
				}
			}
		}
	}
	return all
}

// receiver names the type of a method.
func receiver(d *ast.FuncDecl) string {
	for t := d.Recv.List[0].Type; ; {
		switch of := t.(type) {
		case *ast.StarExpr:
			t = of.X
		case *ast.IndexExpr:
			t = of.X
		case *ast.IndexListExpr:
			t = of.X
		case *ast.Ident:
			return of.Name
		default:
			return ""
		}
	}
}

// uses are the names that code refers to in other packages than its own.
type uses struct {
	named    map[string]map[string]bool // by folder: names behind that of its package
	selected map[string]map[string]bool // by name: the folders where a selector is spelled so
}

func usesOf(files []*file) uses {
	packages := map[string]string{} // names of packages, by folder
	for _, f := range files {
		if !f.test() {
			packages[f.folder()] = f.syntax.Name.Name
		}
	}
	u := uses{map[string]map[string]bool{}, map[string]map[string]bool{}}
	for _, f := range files {
		imported := map[string]string{} // folders, by what the file calls them
		for spec, from := range f.imports {
			folder, ours := strings.CutPrefix(from, module+"/")
			switch {
			case !ours || folder == f.folder():
			case spec.Name != nil:
				imported[spec.Name.Name] = folder
			case packages[folder] != "":
				imported[packages[folder]] = folder
			default:
				imported[path.Base(folder)] = folder
			}
		}
		ast.Inspect(f.syntax, func(n ast.Node) bool {
			selector, ok := n.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			note(u.selected, selector.Sel.Name, f.folder())
			if of, ok := selector.X.(*ast.Ident); ok && imported[of.Name] != "" {
				note(u.named, imported[of.Name], selector.Sel.Name)
			}
			return true
		})
	}
	return u
}

func note(all map[string]map[string]bool, key, value string) {
	if all[key] == nil {
		all[key] = map[string]bool{}
	}
	all[key][value] = true
}

// selectedOutside tells whether a selector is spelled so in another folder.
func (u uses) selectedOutside(name, folder string) bool {
	for in := range u.selected[name] {
		if in != folder {
			return true
		}
	}
	return false
}

// unused lists the exports of a folder that nobody outside refers to. A type counts as referred to where a declaration that is
// referred to says it: who calls a func has its result, and wants to read what that is.
func (u uses) unused(folder string, exports []export) (left []export) {
	said := map[string]bool{}
	for again := true; again; {
		again, left = false, nil
		for _, e := range exports {
			if !u.used(folder, e) && !said[e.name] {
				left = append(left, e)
				continue
			}
			for _, name := range typesOf(e.says) {
				again = again || !said[name]
				said[name] = true
			}
		}
	}
	return left
}

func (u uses) used(folder string, e export) bool {
	if e.method {
		return slices.Contains(interfaceMethods, e.name) || u.selectedOutside(e.name, folder)
	}
	return u.named[folder][e.name]
}

// typesOf lists the exported names that declarations say for types of their own package. What a struct hides, it does not say.
func typesOf(says []ast.Node) (names []string) {
	var see func(n ast.Node) bool
	see = func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.SelectorExpr:
			return false // of another package
		case *ast.StructType:
			for _, field := range n.Fields.List {
				if len(field.Names) == 0 || slices.ContainsFunc(field.Names, (*ast.Ident).IsExported) {
					ast.Inspect(field.Type, see)
				}
			}
			return false
		case *ast.Field:
			ast.Inspect(n.Type, see)
			return false
		case *ast.Ident:
			if n.IsExported() {
				names = append(names, n.Name)
			}
		}
		return true
	}
	for _, n := range says {
		ast.Inspect(n, see)
	}
	return names
}

func checkExported(files []*file) (findings []string) {
	u := usesOf(files)
	for folder, exports := range exportsOf(files) {
		for _, e := range u.unused(folder, exports) {
			if !slices.Contains(unusedYet, folder+"."+e.name) {
				findings = append(findings, e.file.at(e.pos, "%s is exported, and nothing outside %s uses it: write it small, or delete it", e.name, folder))
			}
		}
		most := maxExported
		v, listed := vocabularies[folder]
		if listed {
			most = v.names
		}
		if n := countNames(exports); n > most {
			why := "divide it by idea, or say in test/house/exported_test.go why it has so many"
			if listed {
				why = "it has so many for " + v.reason + ", and may have no more"
			}
			findings = append(findings, fmt.Sprintf("%s exports %d names, and %d are allowed: %s", folder, n, most, why))
		}
	}
	slices.Sort(findings)
	return findings
}

// countNames is how many names of the package itself are among its exports: methods belong to their types.
func countNames(exports []export) (n int) {
	for _, e := range exports {
		if !e.method {
			n++
		}
	}
	return n
}

// An exception that nothing needs is deleted, and the number of a vocabulary falls with it.
func staleExports(files []*file, listed map[string]vocabulary, excepted []string) (findings []string) {
	u, all := usesOf(files), exportsOf(files)
	for folder, v := range listed {
		switch n := countNames(all[folder]); {
		case n <= maxExported:
			findings = append(findings, fmt.Sprintf("%s exports %d names, as any package may: take it off the list", folder, n))
		case n < v.names:
			findings = append(findings, fmt.Sprintf("%s exports %d names, and the list says %d: write the smaller number", folder, n, v.names))
		}
	}
	for _, name := range excepted {
		folder, _, _ := strings.Cut(name, ".")
		if !slices.ContainsFunc(u.unused(folder, all[folder]), func(e export) bool { return folder+"."+e.name == name }) {
			findings = append(findings, fmt.Sprintf("%s is used outside its package, or is gone: take it off the list", name))
		}
	}
	return findings
}
