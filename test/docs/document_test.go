// Package docs holds the documents to their word: what they show is run, and what they name exists.
//
//	document_test.go  a document, taken apart
//	docs_test.go      which documents there are, and the rules for each
//	program_test.go   what there is to name: words of the program, the Makefile and the tests
//	names_test.go     names, links, tables and figures
//	blocks_test.go    configurations, commands and sessions
//	session_test.go   a session: commands, what they print, and what may differ in it
//	stage_test.go     what the commands run against
//	firsthour_test.go the API and the clients of the first hour
//	ahead_test.go     what documents name before every tree has it
//	rules_test.go     every rule finds something in a document that breaks it
package docs

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// root is the project's folder.
const root = "../.."

// document is one Markdown file.
type document struct {
	path    string // from root
	lines   []string
	blocks  []block
	spans   []span
	links   []link
	anchors map[string]bool
}

// block is a fenced block.
type block struct {
	line     int // of its fence, from 1
	language string
	lines    []string
	excuse   string // why it is not run; empty: it is
}

// span is `code` in a sentence.
type span struct {
	line int
	text string
}

type link struct {
	line   int
	target string
}

// findingf is one thing that is wrong, at its place.
func (d *document) findingf(line int, format string, args ...any) string {
	return fmt.Sprintf("%s:%d: ", d.path, line) + fmt.Sprintf(format, args...)
}

var (
	fence   = regexp.MustCompile("^( *)```(\\S*)$")
	excuse  = regexp.MustCompile(`^ *<!-- not run: (.*) -->$`)
	heading = regexp.MustCompile(`^#+ (.*)$`)
	linked  = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	inCode  = regexp.MustCompile("`([^`]+)`")
	noSlug  = regexp.MustCompile(`[^\p{L}\p{N}\- _]`)
)

func readDocument(t *testing.T, path string) *document {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, path))
	if err != nil {
		t.Fatal(err)
	}
	return parseDocument(path, string(text))
}

func parseDocument(path, text string) *document {
	d := &document{path: path, lines: strings.Split(strings.TrimRight(text, "\n"), "\n"), anchors: map[string]bool{}}
	var paragraph []string // the lines of prose before line number at
	flush := func(at int) {
		d.addProse(at-len(paragraph), paragraph)
		paragraph = nil
	}
	for i := 0; i < len(d.lines); i++ {
		open := fence.FindStringSubmatch(d.lines[i])
		switch {
		case open != nil:
			flush(i + 1)
			b := block{line: i + 1, language: open[2]}
			if i > 0 {
				if m := excuse.FindStringSubmatch(d.lines[i-1]); m != nil {
					b.excuse = m[1]
				}
			}
			for i++; i < len(d.lines) && strings.TrimSpace(d.lines[i]) != "```"; i++ {
				b.lines = append(b.lines, strings.TrimPrefix(d.lines[i], open[1]))
			}
			d.blocks = append(d.blocks, b)
		case strings.TrimSpace(d.lines[i]) == "":
			flush(i + 1)
		default:
			if m := heading.FindStringSubmatch(d.lines[i]); m != nil {
				d.addAnchor(m[1])
			}
			paragraph = append(paragraph, d.lines[i])
		}
	}
	flush(len(d.lines) + 1)
	return d
}

// addAnchor adds the anchor that GitHub gives to a heading; further ones of the same name are numbered.
func (d *document) addAnchor(title string) {
	slug := strings.ReplaceAll(noSlug.ReplaceAllString(strings.ToLower(title), ""), " ", "-")
	name := slug
	for n := 1; d.anchors[name]; n++ {
		name = fmt.Sprintf("%s-%d", slug, n)
	}
	d.anchors[name] = true
}

// addProse finds code and links in a paragraph that begins at a line; code may go over the end of a line.
func (d *document) addProse(line int, paragraph []string) {
	text := strings.Join(paragraph, "\n")
	at := func(offset int) int { return line + strings.Count(text[:offset], "\n") }
	for _, m := range inCode.FindAllStringSubmatchIndex(text, -1) {
		code := strings.ReplaceAll(text[m[2]:m[3]], "\n", " ")
		d.spans = append(d.spans, span{at(m[0]), strings.ReplaceAll(code, `\|`, "|")}) // as it stands in a table
	}
	for _, m := range linked.FindAllStringSubmatchIndex(text, -1) {
		d.links = append(d.links, link{at(m[0]), text[m[2]:m[3]]})
	}
}

// section is the text between a heading and the next of its level or above; empty: there is no such heading.
func (d *document) section(title string) (lines []string) {
	level, inside := 0, false
	for _, l := range d.lines {
		if heading.MatchString(l) {
			depth := len(l) - len(strings.TrimLeft(l, "#"))
			if inside && depth <= level {
				break
			}
			if strings.TrimLeft(l, "# ") == title {
				level, inside = depth, true
			}
		}
		if inside {
			lines = append(lines, l)
		}
	}
	return lines
}
