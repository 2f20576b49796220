package house

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
)

// documented is a package clause as the rules want it.
const documented = "// Package p is a sample.\npackage p\n"

// manyMethodsOf is a file with a type that has n methods, every other of them on the pointer.
func manyMethodsOf(receiver string, n int) string {
	source := documented
	for i := range n {
		source += fmt.Sprintf("\nfunc (%s%s) m%d() {}\n", []string{"", "*"}[i%2], receiver, i)
	}
	return source
}

// Every rule breaks on code that breaks it, and on nothing beside.
func TestRulesCatch(t *testing.T) {
	findRoot(t)
	imports := func(path string) string { return documented + "\nimport _ \"" + path + "\"\n" }
	for _, c := range []struct {
		name   string
		rule   string // that must find something; empty: none may
		path   string
		source string
	}{
		{"policy sees nothing", "imports run one way", "policy/x.go", imports(module + "/store")},
		{"policy sees what HTTP says", "", "policy/x.go", imports(module + "/policy/httpcache")},
		{"what HTTP says knows no policy", "imports run one way", "policy/httpcache/x.go", imports(module + "/policy")},
		{"store below proxy", "imports run one way", "store/x.go", imports(module + "/proxy")},
		{"fills below their parent", "imports run one way", "proxy/fill/x.go", imports(module + "/proxy")},
		{"fills see the upstream", "", "proxy/fill/x.go", imports(module + "/proxy/upstream")},
		{"upstream below its parent", "imports run one way", "proxy/upstream/x.go", imports(module + "/proxy")},
		{"the ledger does not see the fleet", "imports run one way", "invalidation/x.go", imports(module + "/invalidation/fleet")},
		{"a test of the ledger does not see the fleet", "imports run one way", "invalidation/x_test.go", imports(module + "/invalidation/fleet")},
		{"the fleet sees the ledger", "", "invalidation/fleet/x.go", imports(module + "/invalidation")},
		{"the fleet does not see its server", "imports run one way", "invalidation/fleet/x.go", imports(module + "/invalidation/valkey")},
		{"the fleet below the store", "imports run one way", "invalidation/fleet/x.go", imports(module + "/store")},
		{"a server sees the fleet", "", "invalidation/valkey/x.go", imports(module + "/invalidation/fleet")},
		{"a tier sees the fleet", "", "store/valkey/x.go", imports(module + "/invalidation/fleet")},
		{"the server below its parent", "imports run one way", "proxy/server/x.go", imports(module + "/proxy")},
		{"the server knows no policy", "imports run one way", "proxy/server/x.go", imports(module + "/policy")},
		{"the server knows no cache", "imports run one way", "proxy/server/x.go", imports(module + "/store")},
		{"the server does not see the upstream", "imports run one way", "proxy/server/x.go", imports(module + "/proxy/upstream")},
		{"proxy sees the server", "", "proxy/x.go", imports(module + "/proxy/server")},
		{"proxy sees upstream", "", "proxy/x.go", imports(module + "/proxy/upstream")},
		{"proxy sees pass", "", "proxy/x.go", imports(module + "/proxy/pass")},
		{"pass sees the upstream", "", "proxy/pass/x.go", imports(module + "/proxy/upstream")},
		{"pass below its parent", "imports run one way", "proxy/pass/x.go", imports(module + "/proxy")},
		{"pass knows no cache", "imports run one way", "proxy/pass/x.go", imports(module + "/store")},
		{"locks of the lowest floor are ordered", "", "invalidation/x.go", imports(module + "/lockorder")},
		{"policy has no locks", "imports run one way", "policy/x.go", imports(module + "/lockorder")},
		{"the order of locks sees nothing", "imports run one way", "lockorder/x.go", imports(module + "/policy")},
		{"a lock without an order", "locks have an order", "store/x.go", documented + "\nimport \"sync\"\n\nvar mu sync.Mutex\n"},
		{"a lock for readers without an order", "locks have an order", "store/valkey/x.go", documented + "\nimport s \"sync\"\n\nvar mu s.RWMutex\n"},
		{"a lock in a test", "", "store/x_test.go", documented + "\nimport \"sync\"\n\nvar mu sync.Mutex\n"},
		{"no lock", "", "store/x.go", documented + "\nimport \"sync\"\n\nvar once sync.Once\n"},
		{"a rule that nobody knows", "rules that are cited are written down", "store/x.go", documented + "\n// f follows R99.\nfunc f() {}\n"},
		{"a rule that is written down", "", "invalidation/fleet/doc.go", "// Package p is a sample.\n//\n// R7 Sample. It is cited in R7.\npackage p\n"},
		{"admin sees not the proxy", "imports run one way", "admin/x.go", imports(module + "/proxy")},
		{"admin sees invalidation", "", "admin/x.go", imports(module + "/invalidation")},
		{"admin sees not how instances share", "imports run one way", "admin/x.go", imports(module + "/invalidation/fleet")},
		{"config sees options", "", "config/x.go", imports(module + "/proxy/upstream")},
		{"config does not see cmd", "imports run one way", "config/x.go", imports(module + "/cmd/cacheproxy")},
		{"a test sees the sample shop", "", "test/x/x_test.go", imports(module + "/cmd/cacheproxy/demo")},
		{"a package's test does not", "imports run one way", "proxy/x_test.go", imports(module + "/cmd/cacheproxy/demo")},
		{"the sample shop knows nothing of the proxy", "imports run one way", "cmd/cacheproxy/demo/x.go", imports(module + "/proxy")},
		{"the sample shop is not for others", "imports run one way", "cmd/cacheproxy/instance/x.go", imports(module + "/cmd/cacheproxy/demo")},
		{"the command line does not take requests apart", "imports run one way", "cmd/cacheproxy/x.go", imports(module + "/proxy")},
		{"a test does not see cmd", "imports run one way", "test/x/x_test.go", imports(module + "/cmd/cacheproxy/instance")},
		{"code does not see test", "imports run one way", "store/x.go", imports(module + "/test/servers")},
		{"the command line runs nothing", "imports run one way", "cmd/cacheproxy/x.go", imports(module + "/store")},
		{"the command line sees an instance", "", "cmd/cacheproxy/x.go", imports(module + "/cmd/cacheproxy/instance")},
		{"an instance sees what it runs", "", "cmd/cacheproxy/instance/x.go", imports(module + "/store/valkey")},
		{"an instance does not see the command line", "imports run one way", "cmd/cacheproxy/instance/x.go", imports(module + "/cmd/cacheproxy")},
		{"an instance's test does not either", "imports run one way", "cmd/cacheproxy/instance/x_test.go", imports(module + "/cmd/cacheproxy")},
		{"an instance names the server's errors", "", "cmd/cacheproxy/instance/x_test.go", imports(module + "/cmd/cacheproxy/valkey")},
		{"a look at the server runs nothing", "imports run one way", "cmd/cacheproxy/valkey/x.go", imports(module + "/cmd/cacheproxy/instance")},
		{"cmd does not see test", "imports run one way", "cmd/cacheproxy/x.go", imports(module + "/test/servers")},
		{"a test sees test", "", "store/x_test.go", imports(module + "/test/servers")},
		{"a test program sees the sample shop", "", "test/system/bench/x.go", imports(module + "/cmd/cacheproxy/demo")},
		{"a test program takes no product apart", "imports run one way", "test/system/bench/x.go", imports(module + "/proxy")},
		{"a test sees what the code below sees", "", "config/x_test.go", imports(module + "/invalidation")},
		{"a test sees nothing beside", "imports run one way", "config/x_test.go", imports(module + "/proxy/fill")},
		{"a folder below sees what the one above may", "", "config/x/x.go", imports(module + "/policy")},
		{"a folder is seen from the one above", "", "config/x.go", imports(module + "/config/x")},
		{"what is seen is named", "imports run one way", "config/x.go", imports(module + "/invalidation")},
		{"the proxy's parent sees not how instances share", "imports run one way", "proxy/x.go", imports(module + "/invalidation/fleet")},
		{"admin sees no server", "imports run one way", "admin/x.go", imports(module + "/invalidation/valkey")},
		{"a folder without a layer", "imports run one way", "util/x.go", documented},
		{"a name that only begins alike", "imports run one way", "store/x.go", imports(module + "/policyx")},

		{"valkey elsewhere", "libraries stay where they belong", "store/x.go", imports("github.com/valkey-io/valkey-go")},
		{"valkey in its file", "", "store/valkey.go", imports("github.com/valkey-io/valkey-go")},
		{"valkey in its folder", "", "store/valkey/x.go", imports("github.com/valkey-io/valkey-go")},
		{"pgx elsewhere", "libraries stay where they belong", "invalidation/x.go", imports("github.com/jackc/pgx/v5")},
		{"pgx in its file", "", "invalidation/postgres.go", imports("github.com/jackc/pgx/v5")},
		{"pgx in the archive", "", "leaderboard/archive/x.go", imports("github.com/jackc/pgx/v5")},
		{"pgx in its folder", "", "invalidation/postgres/x.go", imports("github.com/jackc/pgx/v5")},
		{"pgx in the file's test", "", "test/servers/postgres_test.go", imports("github.com/jackc/pgx/v5")},
		{"yaml elsewhere", "libraries stay where they belong", "cmd/cacheproxy/x.go", imports("go.yaml.in/yaml/v4")},
		{"viper elsewhere", "libraries stay where they belong", "cmd/cacheproxy/x.go", imports("github.com/spf13/viper")},
		{"yaml in another test", "libraries stay where they belong", "test/system/e2e/x_test.go", imports("sigs.k8s.io/yaml")},
		{"yaml in the tests of what is shipped", "", "test/deploy/x_test.go", imports("sigs.k8s.io/yaml")},
		{"yaml in config", "", "config/x.go", imports("go.yaml.in/yaml/v4")},
		{"slabs know no copies", "imports run one way", "store/slab/x.go", imports(module + "/store")},
		{"singleflight elsewhere", "libraries stay where they belong", "proxy/fill/x.go", imports("golang.org/x/sync/singleflight")},
		{"singleflight in its file", "", "proxy/fill/flight.go", imports("golang.org/x/sync/singleflight")},
		{"prometheus elsewhere", "libraries stay where they belong", "proxy/x.go", imports("github.com/prometheus/client_golang/prometheus")},
		{"prometheus in observe", "", "observe/x.go", imports("github.com/prometheus/client_golang/prometheus")},
		{"prometheus in admin", "", "admin/x.go", imports("github.com/prometheus/client_golang/prometheus/promhttp")},
		{"a tier sees coding", "", "store/valkey/x.go", imports(module + "/store/coding")},
		{"compression elsewhere", "libraries stay where they belong", "store/x.go", imports("github.com/klauspost/compress/zstd")},
		{"compression in its folder", "", "store/coding/x.go", imports("github.com/andybalholm/brotli")},
		{"coding sees only policy", "imports run one way", "store/coding/x.go", imports(module + "/store")},
		{"cobra elsewhere", "libraries stay where they belong", "config/x.go", imports("github.com/spf13/cobra")},
		{"cobra in an instance", "libraries stay where they belong", "cmd/cacheproxy/instance/x.go", imports("github.com/spf13/cobra")},
		{"cobra in cmd", "", "cmd/cacheproxy/x.go", imports("github.com/spf13/cobra")},

		{"policy reads the clock", "policy is pure", "policy/x.go", documented + "\nimport \"time\"\n\nvar now = time.Now\n"},
		{"policy reads the clock under another name", "policy is pure", "policy/x.go", documented + "\nimport clock \"time\"\n\nvar age = clock.Since(clock.Time{})\n"},
		{"what HTTP says reads the clock", "policy is pure", "policy/httpcache/x.go", documented + "\nimport \"time\"\n\nvar now = time.Now\n"},
		{"policy hides the clock", "policy is pure", "policy/x.go", documented + "\nimport . \"time\"\n\nvar now = Now()\n"},
		{"policy counts time", "", "policy/x.go", documented + "\nimport \"time\"\n\nconst day = 24 * time.Hour\n"},
		{"policy throws dice", "policy is pure", "policy/x.go", imports("math/rand/v2")},
		{"policy reads files", "policy is pure", "policy/x.go", imports("os")},
		{"policy dials", "policy is pure", "policy/x.go", imports("net")},
		{"policy fetches", "policy is pure", "policy/x.go", documented + "\nimport \"net/http\"\n\nvar get = http.Get\n"},
		{"policy reads a header", "", "policy/x.go", documented + "\nimport \"net/http\"\n\nvar h http.Header\n"},
		{"policy prints", "policy is pure", "policy/x.go", documented + "\nimport \"fmt\"\n\nvar say = fmt.Println\n"},
		{"policy starts a goroutine", "policy is pure", "policy/x.go", documented + "\nfunc f() { go f() }\n"},
		{"policy makes a channel", "policy is pure", "policy/x.go", documented + "\nvar c = make(chan int)\n"},
		{"the fleet locks", "", "invalidation/fleet/x.go", imports("sync")},
		{"the fleet waits for others", "fleet is pure", "invalidation/fleet/x.go", imports("context")},
		{"the fleet reads the clock", "fleet is pure", "invalidation/fleet/x.go", documented + "\nimport \"time\"\n\nvar now = time.Now\n"},
		{"the fleet throws dice", "fleet is pure", "invalidation/fleet/x.go", imports("math/rand/v2")},
		{"the fleet starts a goroutine", "fleet is pure", "invalidation/fleet/x.go", documented + "\nfunc f() { go f() }\n"},
		{"a simulation throws dice", "", "invalidation/fleet/x_test.go", imports("math/rand/v2")},
		{"the log of one process reads the clock", "", "invalidation/x.go", documented + "\nimport \"time\"\n\nvar now = time.Now\n"},
		{"a test of policy reads files", "", "policy/x_test.go", imports("os")},

		{"a file as long as may be", "", "store/x.go", documented + strings.Repeat("\n// a line\n", (maxFileLines-2)/2)},
		{"two lines more", "files are short", "store/x.go", documented + strings.Repeat("\n// a line\n", maxFileLines/2)},
		{"a function as long as may be", "", "store/x.go", documented + "\nfunc f() {\n" + strings.Repeat("\tf()\n", maxFunctionLines-2) + "}\n"},
		{"a line more in a function", "functions are short", "store/x.go", documented + "\nfunc f() {\n" + strings.Repeat("\tf()\n", maxFunctionLines-1) + "}\n"},
		{"no package comment", "packages are documented", "store/x.go", "package store\n"},
		{"a clause for a subject", "comments have nouns for subjects", "store/x.go", documented + "\n// f is a sample. What it\n// does is nothing.\nfunc f() {}\n"},
		{"a list that says what", "", "store/x.go", documented + "\n// f is a sample:\n//\n//\tx.go  what f does\nfunc f() {}\n"},
		{"nouns that hide", "comments have nouns for subjects", "store/x.go", documented + "\n// f takes it. It keeps it, and gives it back.\nfunc f() {}\n"},
		{"a noun that is repeated", "", "store/x.go", documented + "\n// f takes a copy. It keeps the copy.\nfunc f() {}\n"},
		{"package comment only in a test", "", "test/x/x_test.go", documented},

		{"as many methods as may be", "", "store/x.go", manyMethodsOf("t", maxMethods)},
		{"a method more", "types have few methods", "store/x.go", manyMethodsOf("t", maxMethods+1)},
		{"a method more on a value and a generic type", "types have few methods", "store/x.go", manyMethodsOf("t[K]", maxMethods+1)},
		{"methods of a type of the tests", "", "store/x_test.go", manyMethodsOf("t", maxMethods+1)},

		{"the status of an answer is settled", "", "proxy/delivery.go", documented + "\nfunc (d *delivery) settle(s int) { d.status = s }\n"},
		{"it is corrected", "", "proxy/delivery.go", documented + "\nfunc (d *delivery) broke(why int) { d.status.Reason = why }\n"},
		{"it is set elsewhere", "the status of an answer is set once", "proxy/delivery.go", documented + "\nfunc (d *delivery) abort(s int) { d.status = s }\n"},
		{"it is set in another file", "the status of an answer is set once", "proxy/x.go", documented + "\nfunc (d *delivery) settle(s int) { d.status = s }\n"},
		{"it is set by another type", "the status of an answer is set once", "proxy/delivery.go", documented + "\nfunc (d *exchange) settle(s int) { d.status = s }\n"},
		{"a part of it is set", "the status of an answer is set once", "proxy/x.go", documented + "\nfunc f(ex *exchange) { ex.delivery.status.Age++ }\n"},
		{"it is set among others", "the status of an answer is set once", "proxy/x.go", documented + "\nfunc f(ex *exchange) { _, ex.status = g() }\n"},
		{"it is handed out", "the status of an answer is set once", "proxy/x.go", documented + "\nfunc f(ex *exchange) { g(&ex.status) }\n"},
		{"it is set from the beginning", "the status of an answer is set once", "proxy/x.go", documented + "\nfunc f(s int) *delivery { return &delivery{status: s} }\n"},
		{"it is read", "", "proxy/x.go", documented + "\nfunc f(ex *exchange) int { status := ex.status; status.Age = 1; return status.Age }\n"},
		{"another package's", "", "proxy/fill/x.go", documented + "\nfunc f(d *delivery) { d.status = 1 }\n"},
		{"a test sets it", "", "proxy/x_test.go", documented + "\nfunc f(d *delivery) { d.status = 1 }\n"},

		{"a lock of the proxy without an order", "locks have an order", "proxy/fill/x.go", documented + "\nimport \"sync\"\n\nvar mu sync.Mutex\n"},
		{"a lock of the operator's listener", "locks have an order", "admin/x.go", documented + "\nimport \"sync\"\n\nvar mu sync.Mutex\n"},
		{"a lock of the sample shop", "", "cmd/cacheproxy/demo/x.go", documented + "\nimport \"sync\"\n\nvar mu sync.Mutex\n"},

		{"a test sleeps", "tests do not sleep", "store/x_test.go", documented + "\nimport \"time\"\n\nfunc f() { time.Sleep(1) }\n"},
		{"a test sleeps in a bubble", "", "store/x_test.go", documented +
			"\nimport (\n\t\"cacheproxy/test/bubbles\"\n\t\"time\"\n)\n\nfunc f() { bubbles.Test(nil, func() { time.Sleep(1) }) }\n"},
		{"a bubble as the library has it", "bubbles survive the race detector", "store/x_test.go", documented +
			"\nimport \"testing/synctest\"\n\nfunc f() { synctest.Test(nil, nil); synctest.Wait() }\n"},
		{"a wait in a bubble", "", "store/x_test.go", documented + "\nimport \"testing/synctest\"\n\nfunc f() { synctest.Wait() }\n"},
		{"spaces", "files are formatted", "store/x.go", documented + "\nvar  x  = 1\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			f, err := parse(c.path, []byte(c.source))
			if err != nil {
				t.Fatal(err)
			}
			found := map[string][]string{}
			for _, r := range rules {
				if findings := r.check([]*file{f}); findings != nil {
					found[r.name] = findings
				}
			}
			var want []string
			if c.rule != "" {
				want = []string{c.rule}
			}
			if got := slices.Sorted(maps.Keys(found)); !slices.Equal(got, want) {
				t.Errorf("broken rules %q, want %q; findings: %q", got, want, found)
			}
		})
	}
}

// A package comment in one file is enough for the folder, but one in a test is not when there is code.
func TestPackageDocOfFolder(t *testing.T) {
	bare, err := parse("store/x.go", []byte("package p\n"))
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]int{"store/doc.go": 0, "store/x_test.go": 1, "proxy/doc.go": 1} {
		other, err := parse(path, []byte(documented))
		if err != nil {
			t.Fatal(err)
		}
		if got := checkPackageDoc([]*file{bare, other}); len(got) != want {
			t.Errorf("beside %s: findings %q, want %d", path, got, want)
		}
	}
}

// parseAll parses files by their paths.
func parseAll(t *testing.T, sources map[string]string) (files []*file) {
	t.Helper()
	for _, path := range slices.Sorted(maps.Keys(sources)) {
		f, err := parse(path, []byte(sources[path]))
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, f)
	}
	return files
}

// An exported name has to be used by code outside its package, or be said by one that is.
func TestExportedNames(t *testing.T) {
	findRoot(t)
	const (
		own   = "package store\n\n"
		other = "package proxy\n\nimport \"MODULE/store\"\n\n"
	)
	for _, c := range []struct {
		name    string
		own     string // what a package has
		path    string // of a file that may use it; empty: none
		source  string
		unused  []string // names
		ofTests bool     // the package has them in a test
	}{
		{name: "a func", own: "func F() {}", unused: []string{"F"}},
		{name: "names of all sorts", own: "type T int\n\nconst A, b = 1, 2\n\nvar V, w T\n\nfunc (T) M() {}", unused: []string{"T", "A", "V", "M"}},
		{name: "a small one", own: "func f() {}"},
		{name: "of a test", own: "func F() {}", ofTests: true},
		{name: "used by code", own: "func F() {}", path: "proxy/x.go", source: other + "var _ = store.F"},
		{name: "used under another name", own: "func F() {}", path: "proxy/x.go", source: "package proxy\n\nimport s \"MODULE/store\"\n\nvar _ = s.F"},
		{name: "used by a test of another package", own: "func F() {}", path: "proxy/x_test.go", source: other + "var _ = store.F"},
		{name: "used by a program of the tests", own: "func F() {}", path: "test/x/x.go", source: other + "var _ = store.F"},
		{name: "used by its own tests", own: "func F() {}", path: "store/x_test.go", source: "package store_test\n\nimport \"MODULE/store\"\n\nvar _ = store.F", unused: []string{"F"}},
		{name: "used by its own package", own: "func F() {}", path: "store/y.go", source: own + "var _ = F", unused: []string{"F"}},
		{name: "of another package by the same name", own: "func F() {}", path: "proxy/x.go", source: "package proxy\n\nimport \"MODULE/policy/store\"\n\nvar _ = store.F", unused: []string{"F"}},
		{name: "a field by the same name", own: "func F() {}", path: "proxy/x.go", source: other + "var _ = store.x.F", unused: []string{"F"}},
		{name: "a method that is called", own: "func New() *T { return nil }\n\ntype T int\n\nfunc (*T) M() {}", path: "proxy/x.go", source: other + "func f() { store.New().M() }"},
		{name: "a method that is not", own: "func New() *T { return nil }\n\ntype T int\n\nfunc (*T) M() {}", path: "proxy/x.go", source: other + "var _ = store.New", unused: []string{"M"}},
		{name: "a method of a library's interface", own: "type T int\n\nfunc (T) String() string { return \"\" }", path: "proxy/x.go", source: other + "var _ store.T"},
		{name: "a method of a small type", own: "type t int\n\nfunc (t) M() {}"},
		{name: "a type that a field says", own: "type T struct{ Of []U }\n\ntype U int", path: "proxy/x.go", source: other + "var _ store.T"},
		{name: "a type that a small field says", own: "type T struct{ of U }\n\ntype U int", path: "proxy/x.go", source: other + "var _ store.T", unused: []string{"U"}},
		{name: "a type by the name of a field", own: "type T struct{ U int }\n\ntype U int", path: "proxy/x.go", source: other + "var _ store.T", unused: []string{"U"}},
		{name: "a type that a bound says", own: "type T[C U] int\n\ntype U any", path: "proxy/x.go", source: other + "var _ store.T[int]"},
		{name: "a type that only what is unused says", own: "func F() T { return 0 }\n\ntype T int", unused: []string{"F", "T"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := "store/x.go"
			if c.ofTests {
				path = "store/w_test.go"
			}
			sources := map[string]string{path: own + c.own}
			if c.path != "" {
				sources[c.path] = strings.ReplaceAll(c.source, "MODULE", module)
			}
			findings := checkExported(parseAll(t, sources))
			for _, name := range c.unused {
				if !slices.ContainsFunc(findings, func(f string) bool { return strings.Contains(f, ": "+name+" is exported") }) {
					t.Errorf("nothing about %s in %q", name, findings)
				}
			}
			if len(findings) != len(c.unused) {
				t.Errorf("findings %q, want %d", findings, len(c.unused))
			}
		})
	}
}

// exporting is a package with n exported names, methods apart, and another that uses them.
func exporting(t *testing.T, folder string, n int) []*file {
	own, other := "package p\n\ntype T int\n\nfunc (T) String() string { return \"\" }\n", fmt.Sprintf("package q\n\nimport p %q\n\nvar _ p.T\n", module+"/"+folder)
	for i := range n - 1 {
		own += fmt.Sprintf("\nconst C%d = 0\n", i)
		other += fmt.Sprintf("\nvar _ = p.C%d\n", i)
	}
	return parseAll(t, map[string]string{folder + "/x.go": own, "cmd/x.go": other})
}

// A package exports few names, or as many as the list says, which has no larger number than it needs.
func TestVocabularies(t *testing.T) {
	findRoot(t)
	for folder, most := range map[string]int{"store": maxExported, "policy": vocabularies["policy"].names} {
		if got := checkExported(exporting(t, folder, most)); len(got) != 0 {
			t.Errorf("%s: findings %q, want none", folder, got)
		}
		if got := checkExported(exporting(t, folder, most+1)); len(got) != 1 {
			t.Errorf("%s, one more: findings %q, want one", folder, got)
		}
	}
	for names, want := range map[int]int{maxExported: 1, 79: 1, 80: 0} {
		if got := staleExports(exporting(t, "store", names), map[string]vocabulary{"store": {names: 80}}, nil); len(got) != want {
			t.Errorf("list with 80, %d names: findings %q, want %d", names, got, want)
		}
	}
	for source, want := range map[string]int{"func F() {}": 0, "func f() {}": 1} {
		if got := staleExports(parseAll(t, map[string]string{"store/x.go": "package store\n\n" + source}), nil, []string{"store.F"}); len(got) != want {
			t.Errorf("exception for F with %q: findings %q, want %d", source, got, want)
		}
	}
}

// An exception for a type with many methods goes when the type has few, or is gone.
func TestStaleMethods(t *testing.T) {
	for n, want := range map[int]int{0: 1, maxMethods: 1, maxMethods + 1: 0} {
		if got := staleMethods(parseAll(t, map[string]string{"store/x.go": manyMethodsOf("t", n)}), []string{"store.t"}); len(got) != want {
			t.Errorf("%d methods: findings %q, want %d", n, got, want)
		}
	}
}

// What the layers allow is used, and goes down from floor to floor.
func TestLayersAreNarrow(t *testing.T) {
	findRoot(t)
	allowed := map[string][]string{"store": {"policy"}}
	for source, want := range map[string]int{
		"store/x.go":      0,
		"store/x_test.go": 1,
		"proxy/x.go":      1,
	} {
		files := parseAll(t, map[string]string{source: "package p\n\nimport _ \"" + module + "/policy\"\n"})
		if got := unusedLayers(files, allowed); len(got) != want {
			t.Errorf("%s: findings %q, want %d", source, got, want)
		}
	}
	floors := [][]string{{"policy"}, {"store", "observe"}, {"proxy"}}
	for target, want := range map[string]int{"policy": 0, "store": 1, "observe": 1, "proxy": 1, "lockorder": 0} {
		if got := upward(map[string][]string{"store": {target}}, floors); len(got) != want {
			t.Errorf("store to %s: findings %q, want %d", target, got, want)
		}
	}
}
