package store

import "testing"

// The room for copies can change while the tier is used: what is beyond it goes, and the rest stays.
func TestResize(t *testing.T) {
	m := NewMemory(8 << 20)
	fillUp(m, 3000, 1024)
	before := m.Entries()
	if before < 2500 {
		t.Fatalf("%d entries before", before)
	}
	m.Resize(2 << 20)
	m.Settle()
	if got := m.Bytes(); got > 2<<20 {
		t.Errorf("smaller: %d bytes", got)
	}
	kept := m.Entries()
	if kept < 500 || kept >= before {
		t.Errorf("smaller: %d of %d entries", kept, before)
	}
	if m.Budget().Reserve(600 << 10) {
		t.Error("fills in flight may still take what the larger tier had for them")
	}
	m.Resize(16 << 20)
	if got := m.Entries(); got != kept {
		t.Errorf("larger: %d entries, %d before", got, kept)
	}
	fillUp(m, 6000, 1024)
	if got := m.Entries(); got < 5500 {
		t.Errorf("larger: only %d entries", got)
	}
}

// Fills in flight keep what they hold, although it is more than there is now.
func TestResizeBelowFills(t *testing.T) {
	m := NewMemory(64 << 20)
	if !m.Budget().Reserve(16 << 20) {
		t.Fatal("no room")
	}
	m.Resize(8 << 20)
	fillUp(m, 100, 1024)
	if got := m.Entries(); got != 0 {
		t.Errorf("%d entries although fills hold everything", got)
	}
	m.Budget().Release(16 << 20)
	fillUp(m, 100, 1024)
	if got := m.Entries(); got != 100 {
		t.Errorf("%d entries after the fills have ended", got)
	}
}
