package house

import (
	"fmt"
	"slices"
	"strings"
)

// layers says which packages the code of a folder may import, each by its whole path; the entry for the longest path holds for the
// folders below it, and a folder without one of its own may be imported by the code of its entry. A test may besides import what
// these may in turn, and whatever is below test.
var layers = map[string][]string{
	"lockorder":                  {},
	"policy/httpcache":           {},
	"policy":                     {"policy/httpcache"},
	"invalidation":               {"policy"},
	"invalidation/fleet":         {"policy", "invalidation"},
	"invalidation/valkey":        {"policy", "invalidation", "invalidation/fleet", "durable/valkey"},
	"invalidation/postgres":      {"policy"},
	"invalidation/postgres/feed": {"policy", "invalidation", "invalidation/postgres", "invalidation/postgres/pgoutput"},
	"store":                      {"policy/httpcache", "policy", "invalidation", "store/slab"},
	"store/slab":                 {},
	"store/coding":               {"policy/httpcache"},
	"writebehind":                {"policy/httpcache"},
	"durable/valkey":             {},
	"writebehind/valkey":         {"durable/valkey", "invalidation/valkey", "writebehind"},
	"serial/valkey":              {"invalidation/valkey"},
	"leaderboard":                {},
	"leaderboard/api":            {"leaderboard", "leaderboard/memory"},
	"leaderboard/memory":         {"leaderboard", "leaderboard/model"},
	"leaderboard/model":          {"leaderboard"},
	"leaderboard/valkey":         {"durable/valkey", "invalidation/valkey", "leaderboard"},
	"leaderboard/archive":        {"invalidation/postgres", "leaderboard"},
	"store/valkey": {
		"policy/httpcache", "policy", "invalidation", "invalidation/fleet", "invalidation/valkey", "store", "store/coding",
	},
	"observe":        {"policy"},
	"proxy/server":   {"policy/httpcache"},
	"proxy/hit":      {"proxy/server"},
	"proxy/upstream": {"policy/httpcache", "policy"},
	"proxy/fill": {
		"policy/httpcache", "policy", "invalidation", "store", "store/coding", "observe", "proxy/upstream",
	},
	"proxy/pass": {"policy/httpcache", "proxy/server", "proxy/upstream"},
	"proxy": {
		"policy/httpcache", "policy", "invalidation", "store", "store/coding", "observe", "proxy/server", "proxy/upstream", "proxy/fill",
		"proxy/pass", "writebehind", "leaderboard/api",
	},
	"admin":                 {"policy/httpcache", "policy", "invalidation"},
	"config":                {"policy/httpcache", "policy", "invalidation/valkey", "invalidation/postgres", "proxy/server", "proxy/upstream", "writebehind", "leaderboard", "leaderboard/api"},
	"cmd/cacheproxy/demo":   {},
	"cmd/cacheproxy/valkey": {"durable/valkey", "invalidation", "invalidation/valkey", "store", "store/valkey", "writebehind", "writebehind/valkey", "leaderboard", "leaderboard/valkey"},
	"cmd/cacheproxy/instance": {
		"policy", "invalidation", "invalidation/valkey", "invalidation/postgres", "invalidation/postgres/feed", "store", "store/valkey", "observe", "proxy/server", "proxy/upstream", "proxy", "proxy/hit",
		"admin", "config", "cmd/cacheproxy/valkey", "durable/valkey", "writebehind", "writebehind/valkey", "serial/valkey", "leaderboard", "leaderboard/api", "leaderboard/valkey", "leaderboard/archive",
	},
	"cmd/cacheproxy": {
		"policy/httpcache", "policy", "invalidation", "invalidation/postgres", "proxy/upstream", "admin", "config", "cmd/cacheproxy/demo",
		"cmd/cacheproxy/valkey",
		"cmd/cacheproxy/instance", "writebehind", "leaderboard", "leaderboard/api", "leaderboard/valkey", "invalidation/valkey", "leaderboard/archive",
	},
	"test":            {"config", "cmd/cacheproxy/demo"},
	"test/bubbles":    {},
	"test/references": {"store"}, // what the tests of two floors ask of copies
}

// floors are those of docs/architecture.md, from the ground up. What is on one of them imports nothing of its own floor and none
// above; what is on none stands beside.
var floors = [][]string{
	{"policy/httpcache"}, {"policy"}, {"writebehind", "leaderboard"}, {"invalidation"}, {"invalidation/fleet"}, {"store"}, {"proxy/upstream"}, {"proxy/fill", "proxy/pass"},
	{"proxy"}, {"config"}, {"cmd/cacheproxy/instance"}, {"cmd/cacheproxy"},
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
			findings = append(findings, f.at(spec.Pos(), "%s imports %s, and may import only [%s]: pass a value or a func in from above",
				f.folder(), target, strings.Join(layers[layer], " ")))
		}
	}
	return findings
}

func mayImport(f *file, layer, target string) bool {
	switch {
	case layerOf(target) == layer || slices.Contains(layers[layer], target):
		return true
	case target == "lockorder":
		return !within(layer, "policy") // sync.Mutex by another name
	default:
		return f.test() && (within(target, "test") || target == "leaderboard/model" || inTurn(layer, target)) // the model is for tests
	}
}

// inTurn tells whether target is imported, by what the layers say, by something that the layer imports.
func inTurn(layer, target string) bool {
	return slices.ContainsFunc(layers[layer], func(between string) bool { return between == target || inTurn(between, target) })
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

// unusedLayers finds what may be imported and is not. Below test, where there is little but tests, these count as code.
func unusedLayers(files []*file, layers map[string][]string) (findings []string) {
	used := map[string]bool{}
	for _, f := range files {
		layer := layerOf(f.folder())
		if f.test() && layer != "test" {
			continue
		}
		used[layer] = true
		for _, imported := range f.imports {
			used[layer+" imports "+strings.TrimPrefix(imported, module+"/")] = true
		}
	}
	for layer, allowed := range layers {
		if !used[layer] {
			findings = append(findings, fmt.Sprintf("%s has no code: take it out of the layers", layer))
			continue
		}
		for _, target := range allowed {
			if !used[layer+" imports "+target] {
				findings = append(findings, fmt.Sprintf("%s may import %s, and does not: take it out of the layers", layer, target))
			}
		}
	}
	return findings
}

// upward finds imports that the layers allow and that do not go down from floor to floor.
func upward(layers map[string][]string, floors [][]string) (findings []string) {
	height := map[string]int{}
	for i, floor := range floors {
		for _, folder := range floor {
			height[folder] = i
		}
	}
	for layer, allowed := range layers {
		own, placed := height[layer]
		for _, target := range allowed {
			if h, ok := height[target]; ok && placed && h >= own {
				findings = append(findings, fmt.Sprintf("%s may import %s, which is on no floor below it", layer, target))
			}
		}
	}
	return findings
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
		where: "files named postgres.go, in a folder postgres, or in leaderboard/archive",
		may: func(f *file) bool {
			return f.folder() == "leaderboard/archive" || named(f, "postgres") || slices.Contains(strings.Split(f.folder(), "/"), "postgres")
		},
	},
	{
		paths: []string{"go.yaml.in/yaml", "gopkg.in/yaml.v2", "gopkg.in/yaml.v3", "sigs.k8s.io/yaml", "github.com/goccy/go-yaml", "github.com/spf13/viper"},
		where: "config, and test/deploy and test/system/schema, which read the files of others",
		may: func(f *file) bool {
			return within(f.folder(), "config") || within(f.folder(), "test/deploy") || within(f.folder(), "test/system/schema")
		},
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
