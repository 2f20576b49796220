// Package schema holds the JSON schema of the configuration against files that are valid, and files that are not.
package schema

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"cacheproxy/config"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v4"
)

const root = "../../../"

// The schema is one, finds nothing wrong with files that are valid, and finds what an editor should underline.
func TestSchema(t *testing.T) {
	schema := compiled(t)
	valid := 0
	for _, pattern := range []string{"config.example.yaml", "config/testdata/*.yaml", "config/testdata/view/*.yaml", "cmd/cacheproxy/testdata/check/*.yaml"} {
		files, err := filepath.Glob(root + pattern)
		if err != nil || files == nil {
			t.Fatalf("%s: %v", pattern, err)
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := config.Parse(file, text, config.Overrides{}); err != nil && !strings.HasPrefix(pattern, "config/testdata/view") {
				continue
			}
			valid++
			if err := validate(schema, string(text)); err != nil {
				t.Errorf("%s: %v", file, err)
			}
		}
	}
	if valid < 9 {
		t.Errorf("%d valid files", valid)
	}
	const oneUpstream = "upstreams: [{name: api, url: \"http://127.0.0.1:9000\"}]\n"
	for text, want := range map[string]string{
		oneUpstream + "lisen: :80":                     "lisen",
		oneUpstream + "drain_delay: 5":                 "drain_delay",
		oneUpstream + "log: {format: xml}":             "format",
		oneUpstream + "memory: {size: 8}":              "size",
		oneUpstream + "routes: [{name: a}]":            "match",
		"routes: []":                                   "upstreams",
		oneUpstream + "routes: [{ttl: \"10m\", x: 1}]": "'x'",
	} {
		if err := validate(schema, text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func compiled(t *testing.T) *jsonschema.Schema {
	t.Helper()
	text, err := os.ReadFile(root + "docs/config.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	compiler := jsonschema.NewCompiler()
	if err := compiler.AddResource("config.schema.json", document); err != nil {
		t.Fatal(err)
	}
	schema, err := compiler.Compile("config.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	return schema
}

func validate(schema *jsonschema.Schema, text string) error {
	var value any
	if err := yaml.Unmarshal([]byte(text), &value); err != nil {
		return err
	}
	// YAML has numbers of its own.
	again, err := json.Marshal(value)
	if err != nil {
		return fmt.Errorf("not JSON: %w", err)
	}
	if value, err = jsonschema.UnmarshalJSON(bytes.NewReader(again)); err != nil {
		return err
	}
	return schema.Validate(value)
}
