package policy

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/tidwall/gjson"
)

// maxDepth bounds the nesting of a body that is read.
const maxDepth = 128

// document is a parsed JSON body that every parser reads in the same way.
type document struct{ root gjson.Result }

// parseDocument parses a body. It refuses what is not JSON, and what parsers read differently, such as an object that has a name twice: the proxy might
// see one value and the origin write the other, whose copy would not be invalidated.
func parseDocument(body []byte) (*document, error) {
	if !utf8.Valid(body) {
		return nil, errors.New("read body: it is not UTF-8")
	}
	if err := checkNames(body); err != nil {
		return nil, fmt.Errorf("read body: %w", err)
	}
	if !gjson.ValidBytes(body) {
		return nil, errors.New("read body: it is not JSON")
	}
	return &document{root: gjson.ParseBytes(body)}, nil
}

// object is the state of one object, or array when names is nil, that is being read.
type object struct {
	names map[string]bool // in lower case, since some parsers ignore case
	value bool            // a value is next, not a name
}

// checkNames walks over the body without recursion and refuses duplicate names and deep nesting.
func checkNames(body []byte) error {
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	var open []object
	for {
		token, err := d.Token()
		if err != nil {
			return fmt.Errorf("it is not JSON: %w", err)
		}
		if open, err = step(open, token); err != nil {
			return err
		}
		if len(open) == 0 {
			return nil
		}
	}
}

// step advances the state by one token.
func step(open []object, token json.Token) ([]object, error) {
	top := len(open) - 1
	if delim, ok := token.(json.Delim); ok && (delim == '}' || delim == ']') {
		return open[:top], nil
	}
	if top >= 0 && open[top].names != nil {
		o := &open[top]
		if name, ok := token.(string); ok && !o.value {
			name = strings.ToLower(name)
			if o.names[name] {
				return nil, fmt.Errorf("an object has the name %q twice", name)
			}
			o.names[name], o.value = true, true
			return open, nil
		}
		o.value = false
	}
	switch token {
	case json.Delim('{'):
		open = append(open, object{names: map[string]bool{}})
	case json.Delim('['):
		open = append(open, object{})
	}
	if len(open) > maxDepth {
		return nil, fmt.Errorf("it is nested deeper than %d", maxDepth)
	}
	return open, nil
}

// errEnough ends collect when yield has returned false.
var errEnough = errors.New("no more values are wanted")

// values calls yield with all values that a path leads to, until yield returns false. A step that leads nowhere is an error: the origin may change
// something that cannot be seen here.
func (d *document) values(path string, yield func(string) bool) error {
	found := false
	err := collect(d.root, strings.Split(path, "."), func(value string) bool {
		found = true
		return yield(value)
	})
	if err == nil && !found {
		err = errNoValue
	}
	if err != nil {
		return fmt.Errorf("body path %s: %w", path, err)
	}
	return nil
}

func collect(at gjson.Result, steps []string, yield func(string) bool) error {
	switch {
	case len(steps) > 0 && steps[0] != "#":
		next := at.Get(steps[0])
		if !at.IsObject() && !at.IsArray() || !next.Exists() {
			return errNoValue
		}
		return collect(next, steps[1:], yield)
	case len(steps) > 0 && !at.IsArray():
		return errors.New("not an array")
	case at.IsArray():
		if len(steps) > 0 {
			steps = steps[1:]
		}
		return collectAll(at, steps, yield)
	case at.IsObject() || at.Type == gjson.Null:
		return errors.New("neither a text nor a number")
	case !yield(at.String()):
		return errEnough
	}
	return nil
}

// collectAll collects from all elements of an array. If one has no value, that is the error, but the values of the others are yielded all the same: these
// are certain to be named.
func collectAll(array gjson.Result, steps []string, yield func(string) bool) (first error) {
	array.ForEach(func(_, element gjson.Result) bool {
		err := collect(element, steps, yield)
		if first == nil || err == errEnough {
			first = err
		}
		return err != errEnough
	})
	return first
}
