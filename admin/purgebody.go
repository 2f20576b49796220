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
	"cacheproxy/policy/httpcache"
)

const (
	maxBody    = 1 << 20 // bytes of a request body
	maxMembers = 10_000  // names in one purge
)

// readPurgeOrder reads the body of POST /purge and refuses everything ambiguous: a misread order would be acknowledged
// while the copies that the caller meant are still served.
func readPurgeOrder(body []byte) (order, error) {
	var o order
	var urls, prefixes []string
	var confirm bool
	var soft *bool
	var wait *string
	if err := readObject(body, map[string]any{
		"keys": &o.keys, "tags": &o.tags, "urls": &urls, "prefixes": &prefixes, "routes": &o.routes,
		"all": &o.all, "confirm": &confirm, "soft": &soft, "wait": &wait,
	}); err != nil {
		return order{}, badRequest(err)
	}
	count := 0
	for _, field := range []orderField{
		{policy.KindKey, o.keys}, {policy.KindTag, o.tags}, {policy.KindURL, urls}, {policy.KindPrefix, prefixes}, {policy.KindRoute, o.routes},
	} {
		count += len(field.values)
		if err := field.check(); err != nil {
			return order{}, badRequest(err)
		}
	}
	var err error
	switch {
	case count > maxMembers:
		err = fmt.Errorf("the purge names %d things, %d at most: send several, or purge a tag, a prefix or a route", count, maxMembers)
	case o.all && !confirm:
		err = errors.New(`"all" empties the whole cache: repeat it with "confirm": true`)
	case count == 0 && !o.all:
		err = errors.New("the purge names nothing: give keys, tags, urls, prefixes, routes, or all with confirm")
	case wait != nil:
		err = o.sayWait(*wait)
	}
	if err == nil && soft != nil {
		err = o.saySoft(*soft)
	}
	if err == nil {
		o.urls, err = splitEach(urls, splitTarget)
	}
	if err == nil {
		o.prefixes, err = splitEach(prefixes, splitPrefix)
	}
	if err != nil {
		return order{}, badRequest(err)
	}
	return o, nil
}

func splitEach(values []string, split func(string) (httpcache.Target, error)) (targets []httpcache.Target, err error) {
	for _, value := range values {
		target, err := split(value)
		if err != nil {
			return nil, err
		}
		targets = append(targets, target)
	}
	return targets, nil
}

type orderField struct {
	kind   policy.MemberKind
	values []string
}

// check refuses empty names, and names with half of a surrogate pair, which JSON decoding has replaced.
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

// readObject decodes one JSON object into the variables that fields point to. Unlike json.Unmarshal, readObject refuses
// unknown names, names in another case, repeated names, null, text that is not UTF-8, and anything after the object.
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

// example is an example of a field's value.
func example(into any) string {
	switch into.(type) {
	case *[]string:
		return `a list of texts, as ["…"]`
	case *bool, **bool:
		return "true or false"
	}
	return `a text, as "…"`
}

// noEOF turns the end of the body in the middle of a value into io.ErrUnexpectedEOF.
func noEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
