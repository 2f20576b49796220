package config

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/viper"
	"go.yaml.in/yaml/v4"
)

// maxFile bounds the size of the configuration file, in bytes.
const maxFile = 8 << 20

// Load reads the file at path, lets environment and flags override the file, and validates the whole. The error is
// Problems with all findings, unless the file cannot be read. Relative paths in the file begin at the file's folder.
func Load(path string, o Overrides) (*Snapshot, error) {
	snapshot, _, err := Source{File: path, Overrides: o}.Read()
	return snapshot, err
}

// Parse is Load for a text in memory. name stands for the file in problems.
func Parse(name string, text []byte, o Overrides) (*Snapshot, error) {
	snapshot, _, err := Source{File: name, Overrides: o}.parse(text)
	return snapshot, err
}

// withoutFile is the configuration of a proxy that runs without a file. forUpstream fills in the upstream's URL.
const withoutFile = `
upstreams: [{name: upstream, url: ""}]
routes:
  - name: everything
    match: /
    policy: cache-aside
    # Plain RFC 9111: what the origin and the RFC say, and no more.
    jitter: 0%
    query: {unlisted: key}
    forward_headers: all
    on_write: store
    failed_writes: keep # §4.4
    # Nobody said that what is behind is small: a byte of a large file must not cost all of it.
    range: part
    # A cache whose origin cannot be reached may serve what is stale (§4.2.4), for no longer than a restart takes.
    stale_if_error: 1m
`

// forUpstream is the configuration of a proxy that runs without a file in front of the origin at url: plain RFC 9111
// caching of everything, by the origin's directives and the RFC's heuristics. Environment and flags override the
// defaults.
func forUpstream(url string, o Overrides) (*Snapshot, Sources, error) {
	return load("", ".", []byte(withoutFile), o, func(d *decoder, doc *part) {
		doc.sections("upstreams")[0].values["url"] = []string{url}
		for path := range d.places {
			d.places[path] = place{source: "flag --upstream"}
		}
	})
}

// load turns the text of a file in the folder dir into a Snapshot. amend changes the document before environment and
// flags do.
func load(file, dir string, text []byte, o Overrides, amend func(*decoder, *part)) (*Snapshot, Sources, error) {
	d := &decoder{report: newReport(file), files: newFiles(dir)}
	d.files.absent = o.WithoutSecrets
	var s *Snapshot
	if root := d.parse(text); root != nil {
		doc := newPart(top, "", d.report)
		d.mapping(root, doc)
		amend(d, doc)
		d.override(doc, o, viper.New())
		d.unknownVariables(os.Environ(), doc)
		d.otel(doc.Part("tracing"), os.Getenv)
		s = compile(doc, d.files)
	}
	sources := Sources{d.digests}
	if len(d.problems) > 0 {
		return nil, sources, d.problems.sorted()
	}
	s.text, s.Sources = text, sources
	return s, sources, nil
}

// parse returns the one document of the file, or nil and a problem.
func (d *decoder) parse(text []byte) *yaml.Node {
	decoder := yaml.NewDecoder(strings.NewReader(string(text)))
	var root, second yaml.Node
	err := decoder.Decode(&root)
	switch {
	case errors.Is(err, io.EOF) || err == nil && isNull(&root):
		d.problemAt(1, "", "the file is empty; write at least upstreams: and routes:, or run serve --upstream URL without a file")
		return nil
	case err != nil:
		d.syntax(text, err)
		return nil
	}
	switch err := decoder.Decode(&second); {
	case err == nil:
		d.problemAt(max(1, second.Line), "", "a second document begins here; keep one, without \"---\" in between")
	case !errors.Is(err, io.EOF):
		d.syntax(text, err)
	}
	return root.Content[0]
}

func isNull(document *yaml.Node) bool {
	return len(document.Content) == 0 || document.Content[0].ShortTag() == "!!null"
}

// syntax reports the first error of the YAML parser, which stops there. The problem names the line where the faulty
// text begins, rather than the line where the parser gave up.
func (d *decoder) syntax(text []byte, err error) {
	line, what := 1, err.Error()
	if found, ok := errors.AsType[*yaml.LoadError](err); ok {
		line, what = max(1, found.Mark.Line), found.Message
		begun := found.ContextMark.Line
		switch {
		case begun > 0 && strings.Contains(found.ContextMsg, "quoted scalar"):
			line = begun // an open quote may have taken in the rest of the file
			what += ", " + found.ContextMsg + " that begins here"
		case begun > 0 && begun < line:
			what += fmt.Sprintf(", %s that begins on line %d", found.ContextMsg, begun)
		}
	}
	line = min(line, max(1, strings.Count(strings.TrimRight(string(text), " \t\r\n"), "\n")+1))
	d.problemAt(line, "", "is not YAML: %s; check indentation, colons and quotes here and on the line before, and quote text that has {, [ or * in it", what)
}
