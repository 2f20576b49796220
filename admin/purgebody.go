package admin

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"cacheproxy/policy"
)

const (
	maxBody    = 1 << 20 // bytes of a request body
	maxMembers = 10_000  // names in one purge
)

// purgeOrder is the body of POST /purge, checked.
type purgeOrder struct {
	keys, tags, urls, prefixes, routes []string
	all, confirm, soft                 bool
	wait                               string
}

// readPurgeOrder reads a body and refuses everything that could mean something else than it says: an order that is
// misread would be acknowledged although what was meant is still being served.
func readPurgeOrder(body []byte) (purgeOrder, error) {
	o := purgeOrder{wait: waitAll}
	err := readObject(body, map[string]any{
		"keys": &o.keys, "tags": &o.tags, "urls": &o.urls, "prefixes": &o.prefixes, "routes": &o.routes,
		"all": &o.all, "confirm": &o.confirm, "soft": &o.soft, "wait": &o.wait,
	})
	if err == nil {
		err = o.check()
	}
	if err != nil {
		return purgeOrder{}, badRequest(err)
	}
	return o, nil
}

func (o *purgeOrder) check() error {
	count := 0
	for _, field := range o.fields() {
		count += len(field.values)
		if err := field.check(); err != nil {
			return err
		}
	}
	switch {
	case count > maxMembers:
		return fmt.Errorf("the purge names %d things, %d at most: send several, or purge a tag, a prefix or a route", count, maxMembers)
	case o.all && !o.confirm:
		return errors.New(`"all" empties the whole cache: repeat it with "confirm": true`)
	case count == 0 && !o.all:
		return errors.New("the purge names nothing: give keys, tags, urls, prefixes, routes, or all with confirm")
	}
	_, err := readWait(o.wait)
	return err
}

type orderField struct {
	kind   policy.MemberKind
	values []string
}

// check refuses names that stand for nothing, and those that held half a surrogate pair, which JSON decoding replaces.
func (f orderField) check() error {
	for _, value := range f.values {
		switch {
		case value == "":
			return fmt.Errorf("an empty string is no %s", f.kind)
		case strings.ContainsRune(value, utf8.RuneError):
			return fmt.Errorf("%s %q holds a character that is not Unicode", f.kind, shorten(value))
		case f.kind == policy.KindKey || f.kind == policy.KindTag:
			if err := checkName(f.kind, value, value); err != nil {
				return err
			}
		}
	}
	return nil
}

func (o *purgeOrder) fields() []orderField {
	return []orderField{
		{policy.KindKey, o.keys}, {policy.KindTag, o.tags}, {policy.KindURL, o.urls}, {policy.KindPrefix, o.prefixes}, {policy.KindRoute, o.routes},
	}
}

// kind is the one kind of thing that the order names, else "mixed".
func (o *purgeOrder) kind() string {
	if o.all {
		return policy.KindAll.String()
	}
	kind := ""
	for _, field := range o.fields() {
		switch {
		case len(field.values) == 0:
		case kind != "":
			return "mixed"
		default:
			kind = field.kind.String()
		}
	}
	return kind
}

// readObject decodes one JSON object into the variables that fields point to. Unlike json.Unmarshal it refuses unknown
// names, names in another case, names that are there twice, null, text that is not UTF-8, and anything after the object.
func readObject(body []byte, fields map[string]any) error {
	if !utf8.Valid(body) {
		return errors.New("the body is not UTF-8; a name with other bytes can be purged with DELETE /keys/ or /tags/ and %XX")
	}
	dec := json.NewDecoder(bytes.NewReader(body))
	if open, err := dec.Token(); err != nil || open != json.Delim('{') {
		return errors.New("the body is not a JSON object")
	}
	seen := map[string]bool{}
	for dec.More() {
		token, err := dec.Token()
		if err != nil {
			return fmt.Errorf("parse JSON: %w", err)
		}
		name, _ := token.(string)
		into, ok := fields[name]
		switch {
		case !ok:
			return fmt.Errorf("unknown field %q; there are: %s", shorten(name), strings.Join(slices.Sorted(maps.Keys(fields)), ", "))
		case seen[name]:
			return fmt.Errorf("field %q is there twice", name)
		}
		seen[name] = true
		if err := decodeField(dec, into); err != nil {
			return fmt.Errorf("field %q: %w", name, err)
		}
	}
	if _, err := dec.Token(); err != nil {
		return fmt.Errorf("parse JSON: %w", noEOF(err))
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return errors.New("something follows the JSON object")
	}
	return nil
}

func decodeField(dec *json.Decoder, into any) error {
	var raw json.RawMessage
	if err := dec.Decode(&raw); err != nil {
		return noEOF(err)
	}
	if bytes.Equal(raw, []byte("null")) {
		return errors.New("is null: leave it out")
	}
	if json.Unmarshal(raw, into) != nil {
		return fmt.Errorf("is %s: write %s", shorten(string(raw)), example(into))
	}
	return nil
}

// example is how a value for a field looks.
func example(into any) string {
	switch into.(type) {
	case *[]string:
		return `a list of texts, as ["…"]`
	case *bool:
		return "true or false"
	}
	return `a text, as "…"`
}

// noEOF words the end of the body in the middle of a value.
func noEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
