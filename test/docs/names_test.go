package docs

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// others are words that look like names of the program and are of somebody else.
var others = map[string]string{
	"yaml": "a language", "console": "the same", "sh": "the same", "fwd-status": "RFC 9211", "make": "a program", "curl": "a program", "jq": "a program", "psql": "a program", "session_replication_role": "a setting of PostgreSQL", "statement_timeout": "the same", "min": "a function of SQL", "starts": "a column of the archive", "ends": "the same", "ago": "a column of a report", "replica": "the same", "wal_level": "the same", "max_slot_wal_keep_size": "the same", "wal_writer_delay": "the same", "failover": "the same", "sync_replication_slots": "the same", "pg_stat_activity": "a view of PostgreSQL", "xact_start": "a column of it", "wrk": "a program", "loop": "a program of the benchmarks", "valkey-go": "a library",
	"grpc-timeout": "a header of gRPC", "xkey": "a header of Varnish", "traceparent": "a header of W3C", "tracestate": "the same", "baggage": "the same", "sentry-trace": "a header",
	"http-cache-tests": "a suite", "stale-close-*": "a test of that suite", "age-parse-*": "the same", "vary-normalise-lang-select": "the same",
	"stale-if-error": "RFC 5861", "must-revalidate": "RFC 9111", "s-maxage": "RFC 9111", "no-transform": "RFC 9111", "max-stale": "RFC 9111",
	"maxmemory-policy": "a setting of Valkey", "volatile-lfu": "the same", "allkeys-*": "the same", "noeviction": "the same",
	"min-replicas-to-write": "the same", "min-replicas-max-lag": "the same",
	"go_goroutines": "a metric of the Go client", "page": "a parameter in an example", "sleep": "of tests",
	"l5d-*": "headers of Linkerd", "multipart/byteranges": "a media type", "multipart/form-data": "the same", "text/plain": "the same",
	"varnish_image_purge": "a module of Drupal", "http_cache_hosts": "a setting of Magento",
	"testing/synctest":           "a package",
	"conditional-lm-fresh-no-lm": "a test of that suite", "partial-store-partial-reuse-*": "the same", "partial-store-partial-complete": "the same",
}

// examples are header fields that stand for any.
var examples = []string{
	"X-Api-Key", "X-Tenant", "CF-IPCountry", "Save-Data", "X-Forwarded-User", "X-Forwarded-Client-Cert", "X-Requested-With", "X-XSRF-TOKEN",
	"X-App-Version", "X-Client-*", "X-Forward-*", "Purge-Cache-Tags",
}

var languages = map[string][]string{ // and where they may stand; nil: anywhere
	"yaml": nil, "console": nil, "sh": nil, "promql": nil, "text": {"docs/evidence.md", "docs/architecture.md"},
	"sql": {"docs/leaderboard-sql.md"}, // run by leaderboard/archive
}

// checkLanguages finds blocks that nobody can run, and excuses that say nothing.
func checkLanguages(d *document) (findings []string) {
	for _, b := range d.blocks {
		where, known := languages[b.language]
		switch {
		case b.excuse != "" && len(b.excuse) < 10:
			findings = append(findings, d.findingf(b.line, "the comment does not say why the block is not run"))
		case !known:
			findings = append(findings, d.findingf(b.line, "a block of %q: write yaml, console, sh or promql, which are run", b.language))
		case where != nil && !slices.Contains(where, d.path):
			findings = append(findings, d.findingf(b.line, "a block of %s is for figures and drawings, and belongs in %v", b.language, where))
		}
	}
	return findings
}

// checkLinks finds links that lead nowhere. Links to other sites are not followed.
func checkLinks(d *document) (findings []string) {
	for _, l := range d.links {
		if strings.Contains(l.target, "://") {
			continue
		}
		file, anchor, _ := strings.Cut(l.target, "#")
		path := d.path
		if file != "" {
			path = filepath.Join(filepath.Dir(d.path), file)
		}
		target := d
		if path != d.path {
			text, err := os.ReadFile(filepath.Join(root, path))
			switch {
			case os.IsNotExist(err) && slices.Contains(generated, path):
				continue
			case os.IsNotExist(err):
				findings = append(findings, d.findingf(l.line, "link to %s, which is not there", l.target))
				continue
			case err != nil: // a folder
				continue
			}
			target = parseDocument(path, string(text))
		}
		if anchor != "" && filepath.Ext(path) == ".md" && !target.anchors[anchor] {
			findings = append(findings, d.findingf(l.line, "link to %s: %s has no such heading", l.target, path))
		}
	}
	return findings
}

var (
	metricUse   = regexp.MustCompile(`\bcacheproxy_[a-z_]+`)
	labelUse    = regexp.MustCompile(`\bcacheproxy_[a-z_]+\{([^}]*)\}`)
	detailUse   = regexp.MustCompile(`\b(?:detail|reason)="?([a-z][a-z_-]+)`)
	environment = regexp.MustCompile(`\bCACHEPROXY_([A-Z_]+)\b`)
	makeUse     = regexp.MustCompile(`(?:^|[^-\w])make ([a-z-]+)`)
	flagUse     = regexp.MustCompile(`(?:^| |\[)(--[a-z][a-z-]*)`)
	testUse     = regexp.MustCompile(`\b(?:Test|Benchmark|Fuzz)[A-Z]\w+`)
	goUse       = regexp.MustCompile(`\bgo (?:test|run) [^#` + "`" + `]*`)
	field1      = regexp.MustCompile(`^([A-Z][A-Za-z0-9]*(?:-[A-Za-z0-9]+)*(?:-?\*)?)(?::.*)?$`)
	keyUse      = regexp.MustCompile(`^([a-z][a-z0-9_]*(?:\.[a-z0-9_]+)*):(?: |$)`)
	pathOfKeys  = regexp.MustCompile(`^[a-z][a-z0-9_]*(?:\.[a-z0-9_]+)+$`)
	word        = regexp.MustCompile(`^[a-z][a-z0-9]*(?:[_-][a-z0-9*]+)*$`)
	filePath    = regexp.MustCompile(`^\.?[a-z0-9_-]+/[\w.*/-]*$`)
	callUse     = regexp.MustCompile(`^(GET|POST|DELETE) (/[^ ?]*)`)
)

// checkNames finds what is named in code and does not exist.
func checkNames(d *document, p *program) (findings []string) {
	for _, s := range d.spans {
		for _, problem := range append(p.everywhere(s.text), p.span(s.text)...) {
			findings = append(findings, d.findingf(s.line, "`%s`: %s", s.text, problem))
		}
	}
	for _, b := range d.blocks {
		for i, line := range b.lines {
			if b.language == "text" && !goUse.MatchString(line) {
				continue
			}
			for _, problem := range p.everywhere(line) {
				findings = append(findings, d.findingf(b.line+1+i, "%s: %s", line, problem))
			}
		}
	}
	return findings
}

// everywhere finds what is wrong wherever it stands, in a sentence or in a block.
func (p *program) everywhere(text string) (problems []string) {
	wrong := func(format string, args ...any) { problems = append(problems, fmt.Sprintf(format, args...)) }
	for _, name := range metricUse.FindAllString(text, -1) {
		if !p.metrics[regexp.MustCompile(`_(bucket|count|sum)$`).ReplaceAllString(name, "")] && !p.metrics[name] {
			wrong("there is no metric %s", name)
		}
	}
	for _, m := range labelUse.FindAllStringSubmatch(text, -1) {
		for _, label := range strings.Split(m[1], ",") {
			if name, _, _ := strings.Cut(strings.TrimSpace(label), "="); !p.literals[strings.TrimRight(name, "!~")] {
				wrong("there is no label %s", name)
			}
		}
	}
	for _, m := range detailUse.FindAllStringSubmatch(text, -1) {
		if !p.reasons[m[1]] && !p.outcomes[m[1]] && !p.literals[m[1]] || strings.HasPrefix(m[0], "detail") && !p.reasons[m[1]] && !p.outcomes[m[1]] {
			wrong("%s is no reason", m[1])
		}
	}
	for _, m := range environment.FindAllStringSubmatch(text, -1) {
		if !p.literals[m[0]] && !p.overrides(strings.ToLower(m[1])) {
			wrong("%s overrides no key", m[0])
		}
	}
	for _, m := range makeUse.FindAllStringSubmatch(text, -1) {
		if !p.targets[m[1]] {
			wrong("the Makefile has no target %s", m[1])
		}
	}
	for _, name := range testUse.FindAllString(text, -1) {
		if !p.hasTest("", name) {
			wrong("there is no test that begins with %s", name)
		}
	}
	for _, command := range goUse.FindAllString(text, -1) {
		problems = append(problems, p.goCommand(command)...)
	}
	return problems
}

// overrides tells whether a name is that of a path of keys.
func (p *program) overrides(name string) bool {
	if p.keys[name] {
		return true
	}
	for i, c := range name {
		if c == '_' && p.keys[name[:i]] && p.overrides(name[i+1:]) {
			return true
		}
	}
	return false
}

// span finds what is wrong with code in a sentence.
func (p *program) span(text string) (problems []string) {
	wrong := func(format string, args ...any) { problems = append(problems, fmt.Sprintf(format, args...)) }
	first, _, _ := strings.Cut(strings.TrimPrefix(text, "cacheproxy "), " ")
	command, isCommand := p.commands[first]
	flags := flagUse.FindAllStringSubmatch(text, -1)
	switch {
	case isCommand || strings.HasPrefix(text, "-"):
		if !isCommand {
			command = p.flags()
		}
		for _, m := range flags {
			if !command[m[1]] {
				wrong("%s is no flag of it", m[1])
			}
		}
	case strings.HasPrefix(text, "cacheproxy "):
		wrong("there is no command %s", first)
	case callUse.MatchString(text):
		m := callUse.FindStringSubmatch(text)
		segment := "/" + strings.SplitN(m[2], "/", 3)[1]
		if !p.literals[segment] && !p.literals[segment+"/"] && !p.literals[m[2]] && !slices.Contains([]string{"/products", "/graphql"}, segment) {
			wrong("there is no call %s", m[0])
		}
	case keyUse.MatchString(text):
		for _, segment := range strings.Split(keyUse.FindStringSubmatch(text)[1], ".") {
			if !p.keys[segment] {
				wrong("%s is no key of the configuration", segment)
			}
		}
	case pathOfKeys.MatchString(text) && p.keys[strings.SplitN(text, ".", 2)[0]] && !exists(text):
		for _, segment := range strings.Split(text, ".") {
			if !p.keys[segment] {
				wrong("%s is no key of the configuration", segment)
			}
		}
	case filePath.MatchString(text):
		if name, _, _ := strings.Cut(text, ".S"); !exists(text) && !p.literals[name] && others[text] == "" { // a type of a package
			wrong("there is no such file")
		}
	case field1.MatchString(text) && strings.Contains(text, "-"):
		if name := field1.FindStringSubmatch(text)[1]; !p.field(name) {
			wrong("the program knows no field %s; where it stands for any, it is added to the examples of the test", name)
		}
	case word.MatchString(text):
		if !p.knows(text) {
			wrong("the program knows no such word; where it is of somebody else, it is added to the others of the test")
		}
	}
	return problems
}

func exists(path string) bool {
	path = strings.TrimSuffix(path, "/")
	if slices.Contains(generated, path) || strings.HasPrefix(path, "bin/") {
		return true
	}
	for _, folder := range []string{"", "cmd/cacheproxy", "policy", "deploy"} {
		if found, err := filepath.Glob(filepath.Join(root, folder, path)); err == nil && len(found) > 0 {
			return true
		}
	}
	return false
}

// field tells whether the program knows a header field, or those that begin so.
func (p *program) field(name string) bool {
	if slices.Contains(examples, name) {
		return true
	}
	if family, ok := strings.CutSuffix(strings.ToLower(name), "*"); ok {
		for known := range p.folded {
			if strings.HasPrefix(known, family) {
				return true
			}
		}
	}
	return p.folded[strings.ToLower(name)]
}

func (p *program) knows(word string) bool {
	_, isCommand := p.commands[word]
	_, isOther := others[word]
	return p.literals[word] || p.keys[word] || p.metrics[word] || p.metrics["cacheproxy_"+word] || p.reasons[word] || p.outcomes[word] || p.types[word] || isCommand || isOther || exists(word)
}

// hasTest tells whether a folder, or any for the empty one, has tests whose names begin so.
func (p *program) hasTest(folder, name string) bool {
	for in, names := range p.tests {
		if folder != "" && in != folder {
			continue
		}
		if slices.ContainsFunc(names, func(n string) bool { return strings.HasPrefix(n, name) }) {
			return true
		}
	}
	return false
}

// goCommand finds folders, tests and flags of a go command that do not exist.
func (p *program) goCommand(command string) (problems []string) {
	wrong := func(format string, args ...any) { problems = append(problems, fmt.Sprintf(format, args...)) }
	words := strings.Fields(strings.ReplaceAll(command, "'", ""))
	var module, folder string
	for i, w := range words {
		if w == "-C" && i+1 < len(words) {
			module = words[i+1]
		}
		if strings.HasPrefix(w, "./") && w != "./..." {
			folder = filepath.Join(module, w)
			if !exists(folder) || !strings.HasPrefix(w, "./cmd/") && p.tests[folder] == nil && !exists(folder+"/*_test.go") {
				wrong("there is no package %s with tests", w)
				return problems
			}
		}
	}
	ours := words[1] == "run" // flags of go test end at -args
	for i, w := range words {
		switch {
		case w == "-args":
			ours = true
		case !ours && i > 0 && (words[i-1] == "-run" || words[i-1] == "-bench"):
			for _, alternative := range strings.Split(w, "|") {
				name := strings.TrimPrefix(alternative, "^")
				name, _, _ = strings.Cut(name, "/")
				name = strings.TrimSuffix(name, "$")
				if !slices.ContainsFunc(p.tests[folder], func(n string) bool { return strings.Contains(n, name) }) {
					wrong("%s has no test %s", folder, name)
				}
			}
		case ours && strings.HasPrefix(w, "-") && w != "-C":
			name, _, _ := strings.Cut("-"+strings.TrimLeft(w, "-"), "=")
			if folder != "" && !strings.HasPrefix(folder, "cmd/") && !slices.Contains(p.tests[folder], name) {
				wrong("%s has no flag %s", folder, name)
			}
		}
	}
	return problems
}

// measured is what only a measurement can say.
var measured = regexp.MustCompile(`µs|\bp9?50\b|\bp99\b|requests/s|req/s|\d MiB (resident|at most)|\d % (less|fewer)`)

// checkFigures finds figures outside the page that has them all.
func checkFigures(d *document) (findings []string) {
	for i, line := range d.lines {
		if d.path != "docs/evidence.md" && measured.MatchString(line) {
			findings = append(findings, d.findingf(i+1, "a figure: all of them stand in docs/evidence.md, with date, machine and command"))
		}
	}
	return findings
}

// firstCells are the codes in the first column of the tables of a section.
func firstCells(lines []string, header string) (codes []string) {
	inside := false
	for _, l := range lines {
		if !strings.HasPrefix(l, "|") {
			inside = false
			continue
		}
		cell := strings.TrimSpace(strings.Split(strings.ReplaceAll(l, `\|`, " "), "|")[1])
		if cell == header {
			inside = true
		}
		if inside && strings.HasPrefix(cell, "`") {
			for _, m := range inCode.FindAllStringSubmatch(cell, -1) {
				codes = append(codes, m[1])
			}
		}
	}
	return codes
}

func checkReasonTable(d *document, section string, p *program) []string {
	return compareTable(d, section, "words", firstCells(d.section(section), "word"), p.reasons)
}

func checkMetricTable(d *document, section string, p *program) []string {
	var names []string
	for _, code := range firstCells(d.section(section), "metric") {
		name, _, _ := strings.Cut(code, "{")
		names = append(names, name)
	}
	return compareTable(d, section, "metrics", names, p.metrics)
}

func checkCommandTable(d *document, section string, p *program) []string {
	var names []string
	for _, code := range firstCells(d.section(section), "command") {
		name, _, _ := strings.Cut(code, " ")
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	all := map[string]bool{}
	for name := range p.commands {
		all[name] = true
	}
	return compareTable(d, section, "commands", names, all)
}

// compareTable finds what a table lists twice, in vain, or not at all.
func compareTable(d *document, section, what string, listed []string, all map[string]bool) (findings []string) {
	seen := map[string]bool{}
	for _, name := range listed {
		if !all[name] {
			findings = append(findings, fmt.Sprintf("%s: %s: %s is none of the program's %s", d.path, section, name, what))
		}
		if seen[name] {
			findings = append(findings, fmt.Sprintf("%s: %s: %s is listed twice", d.path, section, name))
		}
		seen[name] = true
	}
	for _, name := range slices.Sorted(maps.Keys(all)) {
		if !seen[name] {
			findings = append(findings, fmt.Sprintf("%s: %s: %s is missing", d.path, section, name))
		}
	}
	return findings
}
