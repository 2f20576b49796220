package docs

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// maxExcused is how many blocks of all documents may not be run.
const maxExcused = 8

// generated are the pages that are printed from the table of keys, and that a build without that table lacks.
var generated = []string{"docs/configuration.md", "docs/config.schema.json"}

// linksOnly are pages of which nothing else is checked: the changelog tells what was, so its names may be of things that are
// gone, and what is generated is held against its table.
var linksOnly = append([]string{"CHANGELOG.md"}, generated...)

// documents are all pages.
func documents(t *testing.T) (all []*document) {
	t.Helper()
	for _, pattern := range []string{"*.md", "docs/*.md"} {
		files, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			path, err := filepath.Rel(root, file)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, readDocument(t, path))
		}
	}
	if len(all) < 10 {
		t.Fatalf("only %d documents found", len(all))
	}
	return all
}

// Everything that the documents name exists, and everything that they promise to list is listed.
func TestNames(t *testing.T) {
	p := readProgram(t)
	for _, d := range documents(t) {
		t.Run(d.path, func(t *testing.T) {
			findings := checkLinks(d)
			if !slices.Contains(linksOnly, d.path) {
				findings = append(findings, checkLanguages(d)...)
				findings = append(findings, checkNames(d, p)...)
				findings = append(findings, checkFigures(d)...)
			}
			for _, finding := range findings {
				t.Error(finding)
			}
		})
	}
}

// The tables of reasons, metrics and commands are those of the program.
func TestTables(t *testing.T) {
	p := readProgram(t)
	for _, c := range []struct {
		path, section string
		check         func(d *document, section string, p *program) []string
	}{
		{"docs/caching.md", "Why was this not cached?", checkReasonTable},
		{"docs/operations.md", "Metrics", checkMetricTable},
		{"docs/operations.md", "Command line", checkCommandTable},
	} {
		for _, finding := range c.check(readDocument(t, c.path), c.section, p) {
			t.Error(finding)
		}
	}
}

// Every status that calls are answered with is in the table of answers, but for those of calls that have a page of their own.
func TestAnswersAreListed(t *testing.T) {
	codes := map[string]int{}
	for code := 100; code < 600; code++ {
		codes["Status"+strings.NewReplacer(" ", "", "-", "").Replace(http.StatusText(code))] = code
	}
	files, err := filepath.Glob(filepath.Join(root, "admin/*.go"))
	if err != nil || len(files) < 20 {
		t.Fatalf("%d files of calls, %v", len(files), err)
	}
	table := strings.Join(append(readDocument(t, "docs/purging.md").section("By HTTP"), readDocument(t, "docs/write-behind.md").section("Dead letters")...), "\n")
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") || filepath.Base(file) == "reload.go" {
			continue
		}
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`http\.(Status[A-Z]\w+)\b[^(]`).FindAllSubmatch(text, -1) {
			if code := codes[string(m[1])]; !regexp.MustCompile(fmt.Sprintf("(?m)^\\| `%d`", code)).MatchString(table) {
				t.Errorf("%s answers with %d, and no table in docs/purging.md and docs/write-behind.md has a row for it", file, code)
			}
		}
	}
}

// What is read first stays short.
func TestReadmeIsShort(t *testing.T) {
	if lines := len(readDocument(t, "README.md").lines); lines > 150 {
		t.Errorf("README.md has %d lines, and 150 are allowed: the chapters are in docs/", lines)
	}
}

// Every page is in the index.
func TestIndexIsComplete(t *testing.T) {
	index, err := os.ReadFile(filepath.Join(root, "docs/README.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range documents(t) {
		name, ok := strings.CutPrefix(d.path, "docs/")
		if !ok {
			name = "../" + name
		}
		if d.path != "README.md" && d.path != "docs/README.md" && !strings.Contains(string(index), "("+name+")") {
			t.Errorf("docs/README.md does not name %s", d.path)
		}
	}
}

// Every block of every document is run, or says why it cannot be.
func TestBlocks(t *testing.T) {
	excused := 0
	for _, d := range documents(t) {
		for _, b := range d.blocks {
			if b.excuse != "" {
				excused++
			}
		}
		if len(d.blocks) == 0 || slices.Contains(linksOnly, d.path) {
			continue
		}
		t.Run(d.path, func(t *testing.T) {
			t.Parallel()
			if _, err := exec.LookPath("curl"); err != nil {
				t.Skip("not checked: curl is not installed (Debian: package curl)")
			}
			for _, finding := range checkBlocks(d, newStage(t, d.path)) {
				t.Error(finding)
			}
		})
	}
	if excused > maxExcused {
		t.Errorf("%d blocks are not run, and %d may be", excused, maxExcused)
	}
}
