package store

import (
	"net/http"
	"reflect"
	"testing"

	"cacheproxy/policy/httpcache"
)

// A copy that was taken apart is the same when it is put together again, down to what its answers are made of.
func TestRestore(t *testing.T) {
	for about, c := range map[string]*Copy{
		"plain":     NewCopy(200, someHeader(), []byte("body")),
		"empty":     NewCopy(204, nil, nil),
		"coded":     NewCoded(200, someHeader(), []byte("plain body"), httpcache.Zstd, []byte("held")),
		"no header": NewCopy(404, nil, []byte("gone")),
	} {
		got, err := Restore(c.Status(), c.Head(), c.Body(), c.Coding(), c.Length())
		if err != nil {
			t.Errorf("%s: %v", about, err)
			continue
		}
		got.Digest = c.Digest
		if got.cost() > c.cost() {
			t.Errorf("%s: it takes %d bytes, and took %d", about, got.cost(), c.cost())
		}
		if !reflect.DeepEqual(got, c) {
			t.Errorf("%s: restored as %+v, want %+v", about, got, c)
		}
		recoded, want := http.Header{}, http.Header{}
		got.CopyHeaderAnd(recoded, true, nil)
		c.CopyHeaderAnd(want, true, nil)
		if !reflect.DeepEqual(recoded, want) {
			t.Errorf("%s: header of the body as it is held: %v, want %v", about, recoded, want)
		}
	}
}

// What is put together from parts that nothing here has written is no copy.
func TestRestoreRefuses(t *testing.T) {
	for _, head := range []string{
		"A", "A: b", "A: b\r", "A: b\n", "A:b\r\n", ": b\r\n", "\r\n", "A: b\r\n\r\n", "A: b\nB: c\r\n", "A: b\rB: c\r\n", "A\nB: c\r\n",
		"A: b\x00\r\n", "A:B: c\r\n", "A: b \r\n", "B: b\r\nA: a\r\n", "A: a\r\nB: b\r\nA: a\r\n",
	} {
		if c, err := Restore(200, head, nil, httpcache.Identity, 0); err == nil {
			t.Errorf("head %q is taken for %v", head, c.Header())
		}
	}
	for about, refused := range map[string]func() (*Copy, error){
		"interim status":    func() (*Copy, error) { return Restore(103, "", nil, httpcache.Identity, 0) },
		"no status":         func() (*Copy, error) { return Restore(0, "", nil, httpcache.Identity, 0) },
		"unknown coding":    func() (*Copy, error) { return Restore(200, "", nil, httpcache.Zstd+1, 0) },
		"shorter than said": func() (*Copy, error) { return Restore(200, "", []byte("a"), httpcache.Identity, 2) },
	} {
		if _, err := refused(); err == nil {
			t.Errorf("%s: it is taken for a copy", about)
		}
	}
}

// Any head that is taken reads as the header that would have written it.
func FuzzRestore(f *testing.F) {
	f.Add(NewCopy(200, someHeader(), nil).Head())
	f.Add("A: b\r\nA: c\r\nB: \r\n")
	f.Fuzz(func(t *testing.T, head string) {
		c, err := Restore(200, head, nil, httpcache.Identity, 0)
		if err != nil {
			return
		}
		if again := NewCopy(200, c.Header(), nil); again.Head() != head {
			t.Fatalf("%q reads as %v, which is written as %q", head, http.Header(c.Header()), again.Head())
		}
	})
}
