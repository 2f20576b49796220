package config

import (
	"cmp"
	"fmt"
	"os"
	"strings"
	"testing"
)

const referenceHead = `# Configuration

Every key of the file, made of the table that the program itself reads (` + "`config/table*.go`" + `) by ` + "`go test ./config -args -update`" + `.
` + "`config.example.yaml`" + ` shows them in use; ` + "`cacheproxy check FILE`" + ` says what is wrong with a file, and where; else what it means.

**Values.** Durations are written as ` + "`250ms`, `10m`, `1h30m`" + `; sizes as ` + "`64KiB`, `512MiB`, `1GB`" + `; shares as ` + "`10%`" + `; numbers are whole, from 0. Any value may have
` + "`${NAME}`, `${NAME:-default}` and `${file:/run/secrets/x}`" + ` in it, which are filled in; ` + "`$${`" + ` stands for ` + "`${`" + ` itself. Relative paths begin at the folder of the file. A key that is not here is an error.

**Changes.** The file, and every file that it names, is read again when it changes (what ` + "`postgres.url`" + ` names is libpq's: read for each connection, and
relative to the folder in which the process was started). Keys that are marked *restart* keep the value that they had at
the start; ` + "`GET /config`" + ` of the admin listener shows what is in force, and under ` + "`waits_for_restart`" + ` what was read and is not yet.

**Environment.** The variable of a key, where one is named, wins over the file. An empty one counts as unset. Another ` + "`CACHEPROXY_…`" + ` is refused, unless the file fills it in, commands
read it (` + "`CACHEPROXY_ADMIN`, `CACHEPROXY_ADMIN_TOKEN`" + `) or Kubernetes sets it for a service. The flags ` + "`--listen` and `--admin`" + ` of ` + "`serve`" + ` win over both.

**Policies.** A route's key is an error where its policy does not heed it; *Policies* says which do, and nothing where all do.

**Editors.** ` + "`docs/config.schema.json`" + ` is a JSON schema (draft 2020-12). Editors with a YAML language server complete and explain keys where the file begins with
` + "`# yaml-language-server: $schema=PATH`" + `, a path relative to the file.
`

// The reference says of every key what the table says.
func TestReference(t *testing.T) {
	var b strings.Builder
	b.WriteString(referenceHead)
	writeReference(&b, "", top, afterReload, true)
	golden(t, "../docs/configuration.md", b.String())
}

// writeReference writes a chapter for a section, and then for those in it.
func writeReference(b *strings.Builder, path string, s section, takes effect, single bool) {
	if path != "" {
		fmt.Fprintf(b, "\n## `%s`\n", path)
	} else {
		b.WriteString("\n## At the top\n")
	}
	heads := []string{"Key", "Value", "Default", "A change needs", "Environment", "Policies", "Meaning"}
	var rows [][]string
	for i := range s {
		k := &s[i]
		rows = append(rows, []string{
			"`" + k.name + "`", valueOf(k), defaultOf(k), changeOf(k, takes), variableOf(k, join(path, k.name), single), policiesOf(k), strings.ReplaceAll(k.means, "*", `\*`),
		})
	}
	b.WriteByte('\n')
	heads, rows = withoutEmpty(heads, rows)
	fmt.Fprintf(b, "| %s |\n|%s\n", strings.Join(heads, " | "), strings.Repeat(" --- |", len(heads)))
	for _, row := range rows {
		fmt.Fprintf(b, "| %s |\n", strings.Join(row, " | "))
	}
	for i := range s {
		k := &s[i]
		if k.is.keys == nil {
			continue
		}
		at, when := join(path, k.name), takes
		if k.is.shape == mappings {
			at += "[]"
		}
		if k.takes != inherited && k.takes != switched {
			when = k.takes
		}
		writeReference(b, at, k.is.keys, when, single && k.is.shape == mapping)
	}
}

// withoutEmpty leaves out columns in which nothing stands.
func withoutEmpty(heads []string, rows [][]string) (kept []string, left [][]string) {
	left = make([][]string, len(rows))
	for i, head := range heads {
		filled := false
		for _, row := range rows {
			filled = filled || row[i] != ""
		}
		if !filled {
			continue
		}
		kept = append(kept, head)
		for j, row := range rows {
			left[j] = append(left[j], row[i])
		}
	}
	return kept, left
}

func valueOf(k *key) string {
	switch {
	case k.positive:
		return k.is.called + ", not zero"
	case k.is.words == nil:
		return k.is.called
	}
	return "`" + strings.Join(k.is.words, "`, `") + "`"
}

func defaultOf(k *key) string {
	switch {
	case k.required != "":
		return "required"
	case k.byDefault != "":
		return "`" + k.byDefault + "`"
	case k.is.shape == mapping && !k.quiet:
		return ""
	}
	return cmp.Or(k.derived, "none")
}

func changeOf(k *key, takes effect) string {
	switch {
	case k.takes == switched:
		return "restart, to switch it on or off"
	case k.takes == atStart || k.takes == inherited && takes == atStart:
		return "restart"
	case takes == atStart:
		return "reload"
	}
	return ""
}

func variableOf(k *key, path string, outsideLists bool) string {
	if !outsideLists || k.is.shape != single {
		return ""
	}
	return "`" + environmentName(path) + "`"
}

func policiesOf(k *key) string {
	var others []string
	for _, c := range kinds {
		if !k.heeds(c.value) {
			others = append(others, c.name)
		}
	}
	if len(others) == 1 {
		return "all but " + others[0]
	}
	return strings.Join(names(k.heededBy), ", ")
}

// golden holds what was made against a file, or writes it there.
func golden(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		write(t, file, got)
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s is not what comes out now; see the difference after go test ./config -args -update", file)
	}
}

// A row can be read: it has a meaning in a sentence, a default that is valid, and one way at most to say what holds without it.
func TestRows(t *testing.T) {
	top.walk("", afterReload, func(path string, k *key, _ effect) {
		k.otherwise() // panics
		if k.means == "" || !strings.HasSuffix(k.means, ".") || strings.Contains(k.means, "|") {
			t.Errorf("%s: meaning %q", path, k.means)
		}
		if k.required != "" && k.byDefault+k.derived != "" || k.byDefault != "" && k.derived != "" {
			t.Errorf("%s: required %v, by default %q, derived %q", path, k.required, k.byDefault, k.derived)
		}
	})
}
