package house

import (
	"slices"
	"strings"
)

// layers says which folders the files of a folder may import, the folders below each included. A folder may always
// import what is below itself; the entry for the longest path holds. Tests are free to import any of these.
var layers = map[string][]string{
	"policy":             {},
	"policy/httpcache":   {},
	"invalidation":       {"policy"},
	"invalidation/fleet": {"policy", "invalidation"},
	"store":              {"policy", "invalidation"},
	"store/coding":       {"policy"},
	"observe":            {"policy"},
	"proxy":              {"policy", "invalidation", "store", "observe"},
	"proxy/fill":         {"policy", "invalidation", "store", "observe", "proxy/upstream"},
	"proxy/upstream":     {"policy", "invalidation", "store", "observe"},
	"proxy/pass":         {"policy", "proxy/upstream", "proxy/server"},
	"proxy/server":       {"policy/httpcache"},
	"admin":              {"policy", "invalidation"},
	"leaderboard":        {"policy"},
	"lockorder":          {},
	"config":             {"policy", "invalidation", "store", "observe", "proxy", "admin", "leaderboard"},
	"cmd":                {"policy", "invalidation", "proxy/upstream", "admin", "config"},
	"test":               {"policy", "invalidation", "store", "observe", "proxy", "admin", "leaderboard", "config", "cmd/cacheproxy/demo"},

	"cmd/cacheproxy/demo":   {},
	"cmd/cacheproxy/valkey": {"invalidation", "store"},
	"cmd/cacheproxy/instance": {
		"policy", "invalidation", "store", "observe", "proxy", "admin", "leaderboard", "config", "cmd/cacheproxy/valkey",
	},
}

// above are the folders that a folder may not import, code or test, although it could by what layers says: they lie below it
// and stand above it, as the protocol of many instances does above the ledger of one.
var above = map[string][]string{
	"invalidation":       {"invalidation/fleet", "invalidation/valkey"},
	"invalidation/fleet": {"invalidation/valkey"},
	"admin":              {"invalidation/fleet", "invalidation/valkey"},
}

func checkImports(files []*file) (findings []string) {
	for _, f := range files {
		layer := layerOf(f.folder())
		if layer == "" {
			findings = append(findings, f.at(f.syntax.Package, "folder %s has no place in the layers: add it to the table in test/house/imports_test.go", f.folder()))
			continue
		}
		for spec, imported := range f.imports {
			target, ours := strings.CutPrefix(imported, module+"/")
			if !ours || mayImport(f, layer, target) {
				continue
			}
			findings = append(findings, f.at(spec.Pos(), "%s imports %s, and may import only [%s], none of [%s]: pass a value or a func in from above",
				f.folder(), target, strings.Join(layers[layer], " "), strings.Join(above[f.folder()], " ")))
		}
	}
	return findings
}

func mayImport(f *file, layer, target string) bool {
	if slices.ContainsFunc(above[f.folder()], func(folder string) bool { return within(target, folder) }) {
		return false
	}
	if target == "lockorder" && layer != "policy" {
		return true // sync.Mutex by another name
	}
	if within(target, layer) || f.test() && !within(target, "cmd") {
		return true
	}
	return slices.ContainsFunc(layers[layer], func(allowed string) bool { return within(target, allowed) })
}

// layerOf gives the entry of layers that holds for a folder; empty if none does.
func layerOf(folder string) (layer string) {
	for candidate := range layers {
		if within(folder, candidate) && len(candidate) > len(layer) {
			layer = candidate
		}
	}
	return layer
}

func within(folder, parent string) bool {
	return folder == parent || strings.HasPrefix(folder, parent+"/")
}

// library is code of others that only some files may see.
type library struct {
	paths []string // of the packages, those below included
	where string   // as the finding says it
	may   func(f *file) bool
}

var libraries = []library{
	{
		paths: []string{"github.com/valkey-io/valkey-go", "github.com/redis"},
		where: "files named valkey.go, or in a folder valkey",
		may: func(f *file) bool {
			return named(f, "valkey") || slices.Contains(strings.Split(f.folder(), "/"), "valkey")
		},
	},
	{
		paths: []string{"github.com/jackc", "github.com/lib/pq", "database/sql"},
		where: "files named postgres.go",
		may:   func(f *file) bool { return named(f, "postgres") },
	},
	{
		paths: []string{"go.yaml.in/yaml", "gopkg.in/yaml.v2", "gopkg.in/yaml.v3", "sigs.k8s.io/yaml", "github.com/goccy/go-yaml", "github.com/spf13/viper"},
		where: "config, and test/deploy and test/system/schema, which read the files of others",
		may: func(f *file) bool {
			return within(f.folder(), "config") || within(f.folder(), "test/deploy") || within(f.folder(), "test/system/schema")
		},
	},
	{
		paths: []string{"github.com/maypok86/otter"},
		where: "store/memory.go",
		may:   func(f *file) bool { return f.folder() == "store" && named(f, "memory") },
	},
	{
		paths: []string{"golang.org/x/sync/singleflight"},
		where: "proxy/fill/flight.go",
		may:   func(f *file) bool { return f.folder() == "proxy/fill" && named(f, "flight") },
	},
	{
		paths: []string{"github.com/prometheus"},
		where: "observe, admin, tests and test",
		may: func(f *file) bool {
			return within(f.folder(), "observe") || within(f.folder(), "admin") || within(f.folder(), "test") || f.test()
		},
	},
	{
		paths: []string{"go.opentelemetry.io"},
		where: "observe and tests",
		may:   func(f *file) bool { return within(f.folder(), "observe") || f.test() },
	},
	{
		paths: []string{"github.com/klauspost/compress", "github.com/andybalholm/brotli"},
		where: "store/coding, tests and test",
		may: func(f *file) bool {
			return within(f.folder(), "store/coding") || within(f.folder(), "test") || f.test()
		},
	},
	{
		paths: []string{"github.com/spf13/cobra"},
		where: "cmd/cacheproxy, the command line",
		may:   func(f *file) bool { return f.folder() == "cmd/cacheproxy" },
	},
}

// named tells whether a file is NAME.go or its test.
func named(f *file, name string) bool {
	return f.base() == name+".go" || f.base() == name+"_test.go"
}

func checkLibraries(files []*file) (findings []string) {
	for _, f := range files {
		for spec, imported := range f.imports {
			for _, l := range libraries {
				covers := slices.ContainsFunc(l.paths, func(p string) bool { return within(imported, p) })
				if covers && !l.may(f) {
					findings = append(findings, f.at(spec.Pos(), "imports %s, which belongs only in %s: move the code that needs it there", imported, l.where))
				}
			}
		}
	}
	return findings
}
