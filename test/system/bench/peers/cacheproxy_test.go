package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A binary may know how to be told which fields choose no answer, or know it in part, or not at all.
func TestConfigurationIsOneThatTheBinaryAccepts(t *testing.T) {
	for name, c := range map[string]struct{ refuses, has, lacks string }{
		"knows all":     {"nothing at all", `"Baggage"`, "nothing at all"},
		"knows some":    {"Baggage", `ignore_headers: ["Sec-Ch-Ua*"]`, "Baggage"},
		"knows nothing": {"ignore_headers", "policy: cache-aside", "ignore_headers"},
	} {
		dir := t.TempDir()
		binary := filepath.Join(dir, "cacheproxy")
		script := "#!/bin/sh\n! grep -q '" + c.refuses + "' \"$2\"\n"
		if err := os.WriteFile(binary, []byte(script), 0o700); err != nil {
			t.Fatal(err)
		}
		b := &bed{memory: 1 << 30, origin: &server{address: "127.0.0.1:1"}}
		got, err := fittingConfiguration(t.Context(), b, dir, binary)
		if err != nil || !strings.Contains(got, c.has) || strings.Contains(got, c.lacks) {
			t.Errorf("a binary that %s: %v: want %s in it, and no %s:\n%s", name, err, c.has, c.lacks, got)
		}
		if err := os.WriteFile(binary, []byte("#!/bin/sh\necho line 3 is wrong\nexit 1\n"), 0o700); err != nil {
			t.Fatal(err)
		}
		if _, err := fittingConfiguration(t.Context(), b, dir, binary); err == nil || !strings.Contains(err.Error(), "line 3 is wrong") {
			t.Errorf("a binary that accepts none: %v, want what it says", err)
		}
	}
}
