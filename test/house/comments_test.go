package house

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// linesPerIt is how many lines of comments a package has at least for each "it" in them: the word hides a noun that the reader has to look for.
const linesPerIt = 7

var (
	// pronounSubject is the beginning of a sentence whose subject is a clause: "What is stored…", "Whoever asks…".
	pronounSubject = regexp.MustCompile(`(?:^|\. )(What|Who|Whoever|Whom|Whatever) `)
	// aWord finds the word whose nouns are counted.
	aWord = regexp.MustCompile(`(?i)\bit\b`)
)

// checkComments finds sentences of comments that have no noun for a subject, and packages whose comments say "it" too often.
func checkComments(files []*file) (findings []string) {
	lines, its := make(map[string]int), make(map[string]int)
	for _, f := range files {
		if f.test() || strings.HasPrefix(f.path, "test/") {
			continue
		}
		for _, group := range f.syntax.Comments {
			text := group.Text()
			lines[f.folder()] += strings.Count(text, "\n")
			its[f.folder()] += len(aWord.FindAllString(text, -1))
			for paragraph := range strings.SplitSeq(text, "\n\n") {
				if at := pronounSubject.FindString(strings.ReplaceAll(paragraph, "\n", " ")); at != "" {
					findings = append(findings, f.at(group.Pos(), "a sentence begins with %q: give it a noun for a subject", strings.TrimLeft(at, ".:; ")))
				}
			}
		}
	}
	for _, folder := range slices.Sorted(maps.Keys(lines)) {
		if n := its[folder]; n > 2 && n*linesPerIt > lines[folder] {
			findings = append(findings, fmt.Sprintf("%s:1: comments say \"it\" %d times in %d lines: say what it is", folder, n, lines[folder]))
		}
	}
	return findings
}
