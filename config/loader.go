package config

import (
	"fmt"
	"strings"
)

// place is where a value was written.
type place struct {
	line    int
	path    string
	source  string // "environment NAME" or "flag --name" instead of a line
	spoiled bool   // the value was refused; rules about it would only repeat that
}

// loader carries one load from text to Snapshot, and gathers what is wrong on the way.
type loader struct {
	file   string
	dir    string           // relative paths in the file begin here
	places map[string]place // by path, of every value that was written
	nodes  int              // visited so far

	sources  map[string]digest // by path, of the files read so far
	settings settings          // what the document came to

	problems, warnings Problems
}

func newLoader(file, dir string) *loader {
	return &loader{file: file, dir: dir, places: map[string]place{"": {line: 1}}, sources: map[string]digest{}, settings: settings{}}
}

// has reports whether the value at path was written and is usable so far.
func (l *loader) has(path string) bool {
	p, written := l.places[path]
	return written && !p.spoiled
}

// spoiled reports whether the value at path was refused.
func (l *loader) spoiled(path string) bool { return l.places[path].spoiled }

// at is where path was written, or the nearest section around it that was.
func (l *loader) at(path string) place {
	for around := path; ; around = parent(around) {
		if p, ok := l.places[around]; ok {
			if around != path {
				p.path = path
			}
			return p
		}
	}
}

// parent is the path of the section or list that path is in.
func parent(path string) string {
	return path[:max(0, strings.LastIndexAny(path, ".["))]
}

func (l *loader) problem(path, format string, args ...any) {
	l.problems = append(l.problems, l.report(l.at(path), format, args...))
}

// problemAt is problem for what has no place of its own.
func (l *loader) problemAt(line int, path, format string, args ...any) {
	l.problems = append(l.problems, l.report(place{line: line, path: path}, format, args...))
}

// spoil reports a problem and keeps later rules from reporting it again.
func (l *loader) spoil(path, format string, args ...any) {
	l.problem(path, format, args...)
	p := l.at(path)
	p.spoiled = true
	l.places[path] = p
}

func (l *loader) warn(path, format string, args ...any) {
	l.warnings = append(l.warnings, l.report(l.at(path), format, args...))
}

func (l *loader) report(p place, format string, args ...any) Problem {
	text := fmt.Errorf(format, args...).Error() // Errorf for %w, so that vet checks what is wrapped
	if p.source != "" {
		return Problem{Source: p.source, Text: text}
	}
	return Problem{File: l.file, Line: p.line, Path: p.path, Text: text}
}
