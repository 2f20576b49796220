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

// Sources are the files that a configuration was made of: its own, secrets, certificates. They know what each held when it
// was read. The zero value has none. It is immutable and safe for concurrent use.
type Sources struct{ digests map[string]digest }

// digest stands for what a file held. Zero: it could not be read.
type digest [sha256.Size]byte

// Changed reads the files again and tells whether one does not hold what it did, or cannot be read any more, or can again.
func (s Sources) Changed() bool {
	for path, before := range s.digests {
		if text, err := readRegular(path, maxFile); digestOf(text, err) != before {
			return true
		}
	}
	return false
}

// And is the files of both; where both have one, as o knows it.
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

// errNotRegular is of files that could block their reader, or never end.
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

// files reads what lies beside the configuration, and knows what it has read.
type files struct {
	dir     string            // relative paths begin here
	digests map[string]digest // by path
	filled  map[string]bool   // the variables of the environment that were filled in, by name
	absent  bool              // what is not there is no problem; see Overrides.WithoutSecrets
}

func newFiles(dir string) *files {
	return &files{dir: dir, digests: map[string]digest{}, filled: map[string]bool{}}
}

// absolute is a path of the configuration as the process can use it.
func (f *files) absolute(path string) string {
	if path == "" || filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(f.dir, path)
}

// read is what a file holds, which becomes one of the sources.
func (f *files) read(path string, limit int64) ([]byte, error) {
	text, err := readRegular(path, limit)
	f.digests[path] = digestOf(text, err)
	return text, err
}
