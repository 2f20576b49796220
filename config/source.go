package config

import (
	"errors"
	"fmt"
	"path/filepath"
)

// Source is where a configuration comes from. Read can be called again after every change. Either File or Upstream is
// set.
type Source struct {
	File     string // path of the YAML file
	Upstream string // without a file: the URL of the origin to cache plainly
	Overrides
}

// Read makes the configuration. Read returns the sources even with an error, since a change of a source may fix the
// configuration. Errors are those of Load.
func (s Source) Read() (*Snapshot, Sources, error) {
	if s.File == "" {
		return forUpstream(s.Upstream, s.Overrides)
	}
	text, err := readFile(s.File, maxFile)
	if err != nil {
		return nil, Sources{map[string]digest{s.File: {}}}, fmt.Errorf("read configuration: %w", err)
	}
	snapshot, sources, err := s.parse(text)
	if _, kind := readRegular(s.File, 0); !errors.Is(kind, errNotRegular) { // a pipe cannot be read a second time
		sources.digests[s.File] = digestOf(text, nil)
	}
	return snapshot, sources, err
}

// Renew makes the configuration again from the text of before and the present content of the files beside it: secrets
// and certificates. Callers use Renew when the file itself has become invalid, which must not keep a certificate from
// being replaced.
func (s Source) Renew(before *Snapshot) (*Snapshot, error) {
	if s.File == "" {
		snapshot, _, err := forUpstream(s.Upstream, s.Overrides)
		return snapshot, err
	}
	snapshot, _, err := s.parse(before.text)
	return snapshot, err
}

func (s Source) parse(text []byte) (*Snapshot, Sources, error) {
	return load(s.File, filepath.Dir(s.File), text, s.Overrides, func(*decoder, *part) {})
}
