package config

import (
	"errors"
	"fmt"
	"path/filepath"
)

// Source is where a configuration comes from, to be read as often as it changes. Either File or Upstream is set.
type Source struct {
	File     string // path of the YAML file
	Upstream string // without a file: the URL of the origin to cache plainly
	Overrides
}

// Read makes the configuration. The sources are there even when it fails: a change of one may mend it. Errors are those of
// Load.
func (s Source) Read() (*Snapshot, Sources, error) {
	if s.File == "" {
		return forUpstream(s.Upstream, s.Overrides)
	}
	text, err := readFile(s.File, maxFile)
	if err != nil {
		return nil, Sources{map[string]digest{s.File: {}}}, fmt.Errorf("read configuration: %w", err)
	}
	snapshot, sources, err := s.parse(text)
	if _, kind := readRegular(s.File, 0); !errors.Is(kind, errNotRegular) { // what came through a pipe is not there again
		sources.digests[s.File] = digestOf(text, nil)
	}
	return snapshot, sources, err
}

// Renew makes the configuration that before was made of, of what the files beside it hold now: secrets and certificates.
// It is for when the file itself has become invalid, which must not keep a certificate from being replaced.
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
