package lockorder

import (
	"os"
	"reflect"
	"regexp"
	"slices"
	"testing"
)

var row = regexp.MustCompile("(?m)^\\| [0-9]+ \\| `([A-Za-z]+)` \\|")

// The document lists the classes in the order that is checked.
func TestDocument(t *testing.T) {
	text, err := os.ReadFile("../docs/architecture.md")
	if err != nil {
		t.Fatal(err)
	}
	var documented, checked []string
	for _, m := range row.FindAllSubmatch(text, -1) {
		documented = append(documented, string(m[1]))
	}
	for _, c := range order {
		checked = append(checked, reflect.TypeOf(c).Name())
	}
	if !slices.Equal(documented, checked) {
		t.Errorf("docs/architecture.md lists the locks\n%v, and checked are\n%v", documented, checked)
	}
}
