package config

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"
	"testing"
)

type object = map[string]any

// forms are the schemas of values, by what the reference calls them.
var forms = object{
	"text":                    object{"type": []string{"string", "number", "boolean"}},
	"secret":                  object{"type": []string{"string", "number"}},
	"filled in":               object{"type": "string", "pattern": `\$\{`},
	"true or false":           orFilledIn(object{"type": "boolean"}),
	"number":                  orFilledIn(object{"type": "integer", "minimum": 0}),
	"duration":                orFilledIn(object{"type": "string", "pattern": `^([0-9]+(\.[0-9]*)?(ns|us|µs|ms|s|m|h))+$`}),
	"size":                    orFilledIn(sizePattern("")),
	"size, or bytes":          orFilledIn(object{"type": "integer", "minimum": 0}, sizePattern("?")),
	"size, or auto":           orFilledIn(object{"const": "auto"}, sizePattern("")),
	"share":                   orFilledIn(object{"type": "string", "pattern": `^[0-9]{1,6}(\.[0-9]{1,6})?%$`}),
	"list":                    object{"type": "array", "items": ref("text")},
	"text, or a list":         object{"anyOf": []any{ref("text"), ref("list")}},
	"list, or all":            object{"anyOf": []any{object{"const": "all"}, ref("list")}},
	"texts or lists, by name": object{"type": "object", "additionalProperties": ref("text, or a list")},
	"texts by name":           object{"type": "object", "additionalProperties": ref("text")},
	"texts by name, or none":  object{"anyOf": []any{object{"const": "none"}, ref("texts by name")}},
	"number, or all":          orFilledIn(object{"const": "all"}, object{"type": "integer", "minimum": 1, "maximum": maxRanks}),
	"duration, or a word":     object{"anyOf": []any{object{"enum": []string{"all-time", "day", "week"}}, ref("duration")}},
	"score":                   orFilledIn(object{"type": "number"}),
	"secrets by name":         object{"type": "object", "additionalProperties": ref("secret")},
}

func ref(called string) object {
	return object{"$ref": "#/$defs/" + strings.ReplaceAll(called, " ", "%20")}
}

func orFilledIn(schemas ...any) object { return object{"anyOf": append(schemas, ref("filled in"))} }

func sizePattern(unit string) object {
	return object{"type": "string", "pattern": `^[0-9]+(B|KiB|MiB|GiB|TiB|kB|KB|MB|GB|TB)` + unit + `$`}
}

// schemaOf is the schema of a section.
func schemaOf(t *testing.T, s section) object {
	properties := object{}
	required := []string{}
	for i := range s {
		k := &s[i]
		properties[k.name] = schemaOfKey(t, k)
		if k.required != "" {
			required = append(required, k.name)
		}
	}
	schema := object{"type": "object", "additionalProperties": false, "properties": properties}
	if len(required) > 0 {
		schema["required"] = required
	}
	return schema
}

func schemaOfKey(t *testing.T, k *key) object {
	schema := object{}
	switch {
	case k.is.shape == mapping:
		if schema = schemaOf(t, k.is.keys); k.is.orFlag != "" {
			schema = object{"anyOf": []any{schema, object{"const": noneWord}}}
		}
	case k.is.shape == mappings:
		schema["type"], schema["items"] = "array", schemaOf(t, k.is.keys)
	case k.is.words != nil:
		words := []any{}
		for _, word := range k.is.words {
			words = append(words, word)
			if n, err := strconv.ParseFloat(word, 64); err == nil { // without quotes, YAML has it for a number
				words = append(words, n)
			}
		}
		schema = orFilledIn(object{"enum": words})
	case forms[k.is.called] == nil:
		t.Fatalf("%s: write in forms what %q is to editors", k.name, k.is.called)
	default:
		schema = ref(k.is.called)
	}
	text := k.means
	if holds := defaultOf(k); holds != "" && holds != "none" && k.required == "" {
		text += " Default: " + strings.Trim(holds, "`") + "."
	}
	if k.heededBy != nil {
		text += " With policy: " + oneOf(names(k.heededBy)) + "."
	}
	if k.takes == atStart {
		text += " A change needs a restart."
	}
	schema["description"] = text
	return schema
}

// The schema is what the table says.
func TestSchema(t *testing.T) {
	schema := schemaOf(t, top)
	schema["$schema"], schema["title"], schema["$defs"] = "https://json-schema.org/draft/2020-12/schema", "The configuration of cacheproxy", forms
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", " ")
	if err := encoder.Encode(schema); err != nil {
		t.Fatal(err)
	}
	golden(t, "../docs/config.schema.json", b.String())

	// Package test/system/schema holds the schema against these files.
	for name, text := range map[string]string{"plain": plainView, "full": fullViews[0], "sentinel": fullViews[1], "policies": policyViews, "no-file": withoutFile} {
		golden(t, "testdata/view/"+name+".yaml", text)
	}
}
