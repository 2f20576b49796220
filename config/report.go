package config

import (
	"fmt"
	"regexp"
	"strings"
)

// place is where a value was written.
type place struct {
	line    int
	path    string
	source  string // "environment NAME" or "flag --name" instead of a line
	spoiled bool   // the value was refused; further rules would only repeat the problem
}

// report gathers the problems and warnings of a configuration, each with the place where its value was written. The
// decoder fills in the places. Every part of the document holds the same report, so that compile functions report by
// the names of keys.
type report struct {
	file   string
	places map[string]place // by path, for every value that was written

	problems, warnings Problems
}

func newReport(file string) *report {
	return &report{file: file, places: map[string]place{"": {line: 1}}}
}

// has reports whether the value at path was written and is usable so far.
func (r *report) has(path string) bool {
	p, written := r.places[path]
	return written && !p.spoiled
}

// at is the place of path, or of the nearest written section around path.
func (r *report) at(path string) place {
	for around := path; ; around = around[:max(0, strings.LastIndexAny(around, ".["))] {
		if p, ok := r.places[around]; ok {
			if around != path {
				p.path = path
			}
			return p
		}
	}
}

func (r *report) problem(path, format string, args ...any) {
	r.problems = append(r.problems, r.finding(r.at(path), format, args...))
}

// problemAt reports a problem at a line, for texts that are not a value with a place.
func (r *report) problemAt(line int, path, format string, args ...any) {
	r.problems = append(r.problems, r.finding(place{line: line, path: path}, format, args...))
}

// spoil reports a problem and keeps later rules from reporting it again.
func (r *report) spoil(path, format string, args ...any) {
	r.problem(path, format, args...)
	r.mark(path)
}

// mark keeps later rules from repeating a problem of a value or of its entry.
func (r *report) mark(path string) {
	p := r.at(path)
	p.spoiled = true
	r.places[path] = p
}

// spoiledBelow reports whether a value in the section was refused. Such a section may seem empty although it was not
// written so.
func (r *report) spoiledBelow(section string) bool {
	for path, p := range r.places {
		if p.spoiled && strings.HasPrefix(path, section) {
			return true
		}
	}
	return false
}

func (r *report) warn(path, format string, args ...any) {
	r.warnings = append(r.warnings, r.finding(r.at(path), format, args...))
}

func (r *report) finding(p place, format string, args ...any) problem {
	text := fmt.Errorf(format, args...).Error() // Errorf for %w, so that vet checks wrapped errors
	if p.source != "" {
		return problem{Source: p.source, Text: text}
	}
	return problem{File: r.file, Line: p.line, Path: p.path, Text: text}
}

var plainKey = regexp.MustCompile(`^[A-Za-z0-9_-]+$`)

// join is the path of a key in the section at path. An empty path is the document.
func join(path, key string) string {
	if !plainKey.MatchString(key) {
		key = quote(key)
	}
	if path == "" {
		return key
	}
	return path + "." + key
}

func index(path string, i int) string { return fmt.Sprintf("%s[%d]", path, i) }

// quote shortens and quotes a text for a message.
func quote(text string) string {
	const most = 80
	if len(text) > most {
		text = text[:most] + "…"
	}
	return fmt.Sprintf("%q", text)
}
