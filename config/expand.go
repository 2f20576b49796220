package config

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// maxSecret bounds what one ${file:...} may bring in.
const maxSecret = 64 << 10

var variable = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// expand fills in ${NAME}, ${NAME:-default} (used when NAME is unset or empty) and ${file:PATH}, whose trailing newline
// is dropped. $${ stands for a literal ${. Relative paths begin at dir. What is filled in is not expanded again.
func expand(text, dir string) (string, error) {
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
		value, err := fill(inner, dir)
		if err != nil {
			return "", err
		}
		b.WriteString(text[:i] + value)
		text = rest
	}
}

// fill is the value of what stands between ${ and }.
func fill(inner, dir string) (string, error) {
	if path, isFile := strings.CutPrefix(inner, "file:"); isFile {
		return readSecret(path, dir)
	}
	name, fallback, hasFallback := strings.Cut(inner, ":-")
	if !variable.MatchString(name) {
		return "", errors.New("has a ${...} that is neither ${NAME}, ${NAME:-default} nor ${file:/path}")
	}
	value, set := os.LookupEnv(name)
	switch {
	case hasFallback && value == "":
		return fallback, nil
	case !set:
		return "", fmt.Errorf("names the environment variable %s, which is not set; set it, or write ${%s:-default}",
			name, name)
	}
	return value, nil
}

func readSecret(path, dir string) (string, error) {
	if path == "" {
		return "", errors.New("has ${file:} without a path; write ${file:/run/secrets/name}")
	}
	if !filepath.IsAbs(path) {
		path = filepath.Join(dir, path)
	}
	// Anything but a regular file could block, or never end.
	info, err := os.Stat(path)
	if err == nil && !info.Mode().IsRegular() {
		return "", fmt.Errorf("names %s, which is not a regular file", path)
	}
	text, err := readFile(path, maxSecret)
	if err != nil {
		return "", fmt.Errorf("names a file that cannot be used: %w", err)
	}
	return strings.TrimRight(string(text), "\r\n"), nil
}

// readFile reads a file of at most limit bytes.
func readFile(path string, limit int64) (text []byte, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	text, err = io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(text)) > limit {
		return nil, fmt.Errorf("read %s: it is larger than %d bytes", path, limit)
	}
	return text, err
}
