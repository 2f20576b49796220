package servers

import "testing"

// Two that are asked for are to be two, also where nothing listens on the first yet.
func TestFreePortsDiffer(t *testing.T) {
	seen := map[int]bool{}
	for range 500 {
		port, err := FreePort()
		if err != nil {
			t.Fatal(err)
		}
		if seen[port] {
			t.Fatalf("port %d comes twice among %d", port, len(seen)+1)
		}
		seen[port] = true
	}
}
