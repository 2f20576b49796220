package config

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
)

// Sources are the files that a configuration was made of: its own, secrets, certificates. Sources know the content of
// each file at the time of reading. The zero value has no files. Sources are immutable and safe for concurrent use.
type Sources struct{ digests map[string]digest }

// digest stands for the content of a file. Zero: the file could not be read.
type digest [sha256.Size]byte

// Changed reads the files again. Changed reports whether a file has other content, has become unreadable or has become
// readable.
func (s Sources) Changed() bool {
	for path, before := range s.digests {
		if text, err := readRegular(path, maxFile); digestOf(text, err) != before {
			return true
		}
	}
	return false
}

// And has the files of both. For a file in both, the digest is o's.
func (s Sources) And(o Sources) Sources {
	all := make(map[string]digest, len(s.digests)+len(o.digests))
	maps.Copy(all, s.digests)
	maps.Copy(all, o.digests)
	return Sources{all}
}

func digestOf(text []byte, err error) digest {
	if err != nil {
		return digest{}
	}
	return sha256.Sum256(text)
}

// errNotRegular is the error for files that could block their reader or never end.
var errNotRegular = errors.New("not a regular file")

func readRegular(path string, limit int64) ([]byte, error) {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, errNotRegular
	}
	return readFile(path, limit)
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

// files reads the files beside the configuration and records what was read.
type files struct {
	dir     string            // relative paths begin here
	digests map[string]digest // by path
	filled  map[string]bool   // names of the environment variables that were filled in
	absent  bool              // missing files and variables are no problem; see Overrides.WithoutSecrets
}

func newFiles(dir string) *files {
	return &files{dir: dir, digests: map[string]digest{}, filled: map[string]bool{}}
}

// absolute resolves a path of the configuration against its folder.
func (f *files) absolute(path string) string {
	if path == "" || filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(f.dir, path)
}

// read reads a file and adds it to the sources.
func (f *files) read(path string, limit int64) ([]byte, error) {
	text, err := readRegular(path, limit)
	f.digests[path] = digestOf(text, err)
	return text, err
}
