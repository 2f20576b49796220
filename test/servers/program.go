package servers

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
)

// findProgram looks for a program in PATH, then in the folders that match the
// globs; of several matches the last in order of name wins. The error says how
// to install it.
func findProgram(name, install string, globs ...string) (string, error) {
	if path, err := exec.LookPath(name); err == nil {
		return path, nil
	}
	for _, glob := range globs {
		matches, err := filepath.Glob(filepath.Join(glob, name))
		if err != nil {
			return "", fmt.Errorf("find program %s: %w", name, err)
		}
		sort.Strings(matches)
		for i := len(matches) - 1; i >= 0; i-- {
			if info, err := os.Stat(matches[i]); err == nil && info.Mode()&0o111 != 0 && !info.IsDir() {
				return matches[i], nil
			}
		}
	}
	return "", fmt.Errorf("find program %s: it is neither in PATH nor in %q; install it with: %s", name, globs, install)
}
