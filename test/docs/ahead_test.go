package docs

import (
	"os"
	"path/filepath"
	"strings"
)

// What the documents name before every tree has it. Each of these may be empty.
var (
	aheadFolders = []string{"proxy/fill", "proxy/pass", "policy/httpcache", "httpcache"}
	aheadTargets = []string{"rename", "test-slow"}
)

// systemModule is the module of what runs the built program.
const systemModule = "test/system"

// today is where a folder of that module is in a tree without the module.
func today(path string) string {
	if _, err := os.Stat(filepath.Join(root, systemModule)); err == nil {
		return path
	}
	if within, ok := strings.CutPrefix(path, systemModule); ok {
		return "test" + within
	}
	return path
}
