package config

import (
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"

	"go.yaml.in/yaml/v4"
)

// maxFile bounds the configuration file.
const maxFile = 8 << 20

// Load reads the file at path, lets environment and flags override it, and validates the whole. Its error is Problems,
// with everything that is wrong, unless the file cannot be read. Relative paths in the file begin at the file's folder.
func Load(path string, o Overrides) (*Snapshot, error) {
	snapshot, _, err := Source{File: path, Overrides: o}.Read()
	return snapshot, err
}

// Parse is Load for a text that is in hand; name stands for the file in problems.
func Parse(name string, text []byte, o Overrides) (*Snapshot, error) {
	snapshot, _, err := Source{File: name, Overrides: o}.parse(text)
	return snapshot, err
}

func (l *loader) load(text []byte, o Overrides) *Snapshot {
	root := l.parse(text)
	if root == nil {
		return nil
	}
	doc := defaults()
	l.decode(root, reflect.ValueOf(doc).Elem(), "")
	l.override(doc, o)
	return l.compile(doc)
}

// ForUpstream is the configuration of a proxy in front of the origin at url without a file: plain RFC 9111 caching of
// everything, by what the origin says and the RFC's heuristics. Environment and flags override the defaults.
func ForUpstream(url string, o Overrides) (*Snapshot, error) {
	l := newLoader("", ".")
	doc := defaults()
	l.adopt(doc, url)
	l.override(doc, o)
	snapshot := l.compile(doc)
	if len(l.problems) > 0 {
		return nil, l.problems.sorted()
	}
	snapshot.Sources = Sources{l.sources}
	return snapshot, nil
}

// adopt fills in the one upstream and the one route of a proxy without a file.
func (l *loader) adopt(doc *document, url string) {
	l.places[""] = place{source: "flag --upstream"}
	doc.Upstreams = []upstreamDoc{{Name: "upstream", URL: oneOrMore{url}}}
	doc.Routes = []routeDoc{{Name: "everything", Match: oneOrMore{"/"}}}
	for _, path := range []string{
		"upstreams", "upstreams[0]", "upstreams[0].name", "upstreams[0].url", "routes", "routes[0]", "routes[0].name",
		"routes[0].match", "routes[0].match[0]", "routes[0].policy", "routes[0].jitter", "routes[0].query",
		"routes[0].query.unlisted", "routes[0].forward_headers", "routes[0].range",
		"routes[0].failed_writes", "routes[0].on_write", "routes[0].stale_if_error",
	} {
		l.places[path] = l.places[""]
	}
	route := &doc.Routes[0]
	l.set(&route.Policy, "cache-aside", "", "routes[0].policy")
	l.set(&route.Jitter, "0%", "", "routes[0].jitter")
	l.set(&route.Query.Unlisted, "key", "", "routes[0].query.unlisted")
	l.set(&route.ForwardHeaders, "all", "", "routes[0].forward_headers")
	// Nobody said that what is behind is small: a byte of a large file must not cost all of it.
	l.set(&route.Range, "part", "", "routes[0].range")
	// A cache whose origin cannot be reached may serve what is stale (RFC 9111 §4.2.4), for no longer than a restart takes.
	l.set(&route.StaleIfError, "1m", "", "routes[0].stale_if_error")
	// What nobody has said is as the RFC has it (§4.4).
	l.set(&route.OnWrite, "store", "", "routes[0].on_write")
	l.set(&route.FailedWrite, "keep", "", "routes[0].failed_writes")
}

// parse returns the one document of the file, or nil and a problem.
func (l *loader) parse(text []byte) *yaml.Node {
	decoder := yaml.NewDecoder(strings.NewReader(string(text)))
	var root, second yaml.Node
	err := decoder.Decode(&root)
	switch {
	case errors.Is(err, io.EOF) || err == nil && isNull(&root):
		l.problemAt(1, "", "the file is empty; write at least upstreams: and routes:, or run serve --upstream URL without a file")
		return nil
	case err != nil:
		l.syntax(err)
		return nil
	}
	switch err := decoder.Decode(&second); {
	case err == nil:
		l.problemAt(max(1, second.Line), "", "a second document begins here; keep one, without \"---\" in between")
	case !errors.Is(err, io.EOF):
		l.syntax(err)
	}
	return root.Content[0]
}

func isNull(document *yaml.Node) bool {
	return len(document.Content) == 0 || document.Content[0].ShortTag() == "!!null"
}

// syntax reports what the parser, which stops at the first error, has found.
func (l *loader) syntax(err error) {
	line, text := 1, err.Error()
	if found, ok := errors.AsType[*yaml.LoadError](err); ok {
		line, text = max(1, found.Mark.Line), found.Message
		if begun := found.ContextMark.Line; begun > 0 && begun < line {
			text = fmt.Sprintf("%s, %s that begins on line %d", text, found.ContextMsg, begun)
		}
	}
	l.problemAt(line, "", "is not YAML: %s; check indentation, colons and quotes here and on the line before", text)
}
