package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"regexp"
	"strings"
)

// maxSecret bounds the size of a file that one ${file:...} fills in, in bytes.
const maxSecret = 64 << 10

var variable = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// expand fills in ${NAME}, ${NAME:-default} (the default counts when NAME is unset or empty) and ${file:PATH}, without
// the file's trailing newlines. $${ stands for a literal ${. Relative paths begin at the configuration file's folder.
// Filled-in text is not expanded again.
func (f *files) expand(text string) (string, error) {
	var b strings.Builder
	for {
		i := strings.Index(text, "${")
		if i < 0 {
			b.WriteString(text)
			return b.String(), nil
		}
		if i > 0 && text[i-1] == '$' {
			b.WriteString(text[:i-1] + "${")
			text = text[i+2:]
			continue
		}
		inner, rest, closed := strings.Cut(text[i+2:], "}")
		if !closed {
			return "", errors.New(`has "${" without "}"; close it, or write "$${" for the characters themselves`)
		}
		value, err := f.fill(inner)
		if err != nil {
			return "", err
		}
		b.WriteString(text[:i] + value)
		text = rest
	}
}

// fill is the value for the text between ${ and }.
func (f *files) fill(inner string) (string, error) {
	if path, isFile := strings.CutPrefix(inner, "file:"); isFile {
		return f.secret(path)
	}
	name, fallback, hasFallback := strings.Cut(inner, ":-")
	if !variable.MatchString(name) {
		return "", errors.New("has a ${...} that is neither ${NAME}, ${NAME:-default} nor ${file:/path}")
	}
	f.filled[name] = true
	value, set := os.LookupEnv(name)
	switch {
	case hasFallback && value == "":
		return fallback, nil
	case !set && f.absent:
		return standIn(inner), nil
	case !set:
		return "", fmt.Errorf("names the environment variable %s, which is not set; set it, or write ${%s:-default}",
			name, name)
	}
	return value, nil
}

func (f *files) secret(path string) (string, error) {
	if path == "" {
		return "", errors.New("has ${file:} without a path; write ${file:/run/secrets/name}")
	}
	path = f.absolute(path)
	text, err := f.read(path, maxSecret)
	switch {
	case f.absent && errors.Is(err, fs.ErrNotExist):
		return standIn(path), nil
	case errors.Is(err, errNotRegular):
		return "", fmt.Errorf("names %s, which is not a regular file", path)
	case err != nil:
		return "", fmt.Errorf("names a file that cannot be used: %w", err)
	}
	return strings.TrimRight(string(text), "\r\n"), nil
}

// standsIn begins every text that stands in for a missing secret.
const standsIn = "stands-in-for-a-secret-that-is-not-here:"

// standIn makes the text for one missing secret: long enough for any secret, and different for each name.
func standIn(of string) string { return standsIn + of }
