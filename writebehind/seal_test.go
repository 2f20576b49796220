package writebehind

import (
	"bytes"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"
)

func sealer(t *testing.T, secrets ...string) *Sealer {
	t.Helper()
	s, err := NewSealer("shop", secrets)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

var first, second = strings.Repeat("a", 32), strings.Repeat("b", 32)

func sample() *Write {
	return &Write{
		Route: "stock", Upstream: "api", Method: http.MethodPut, Scheme: "https", Host: "shop.example", Path: "/stock/5", Query: "a=1", HasQuery: true,
		Header: http.Header{"Authorization": {"Bearer t0ken"}, "Content-Type": {"application/json"}, "X-Name": {"M\xfcller", ""}}, MaxAge: time.Hour, Body: []byte("\x00{}"),
	}
}

func TestWriteIsKept(t *testing.T) {
	b, err := sample().Encode()
	if err != nil {
		t.Fatal(err)
	}
	w, err := Decode(b)
	if err != nil || !reflect.DeepEqual(w, sample()) {
		t.Errorf("%+v, %v", w, err)
	}
	for n := range b {
		if w, err := Decode(b[:n]); err == nil && len(w.Header) == 0 {
			t.Fatalf("the first %d bytes are a write", n)
		}
	}
}

// What is sealed opens with any of the secrets, as what it was sealed as, and shows nothing.
func TestSeal(t *testing.T) {
	content, _ := sample().Encode()
	sealed := sealer(t, first).Seal("ID", "KEY", content)
	if bytes.Contains(sealed, []byte("t0ken")) {
		t.Error("what is sealed can be read")
	}
	if open, err := sealer(t, second, first).Open("ID", "KEY", sealed); err != nil || !bytes.Equal(open, content) {
		t.Errorf("after another secret took its place: %v", err)
	}
	changed := bytes.Clone(sealed)
	changed[len(changed)-1] ^= 1
	for name, try := range map[string]func() ([]byte, error){
		"another secret": func() ([]byte, error) { return sealer(t, second).Open("ID", "KEY", sealed) },
		"another id":     func() ([]byte, error) { return sealer(t, first).Open("OTHER", "KEY", sealed) },
		"another key":    func() ([]byte, error) { return sealer(t, first).Open("ID", "OTHER", sealed) },
		"a change":       func() ([]byte, error) { return sealer(t, first).Open("ID", "KEY", changed) },
		"nothing":        func() ([]byte, error) { return sealer(t, first).Open("ID", "KEY", nil) },
	} {
		if _, err := try(); err == nil {
			t.Errorf("it opens with %s", name)
		}
	}
}

// An idempotency key stands for one request of one client.
func TestIdentities(t *testing.T) {
	s := sealer(t, first)
	client := "alice"
	of := func(change func(*Write)) Identity {
		w := sample()
		change(w)
		return s.Identities(w, client, "k1")[0]
	}
	base := of(func(*Write) {})
	if base != of(func(w *Write) { w.Header["Via"] = []string{"1.1 x"} }) {
		t.Error("what is added on the way makes it another")
	}
	for name, change := range map[string]func(*Write){
		"method":  func(w *Write) { w.Method = http.MethodPost },
		"path":    func(w *Write) { w.Path = "/stock/6" },
		"query":   func(w *Write) { w.Query = "a=2" },
		"content": func(w *Write) { w.Body = []byte("x") },
		"type":    func(w *Write) { w.Header["Content-Type"] = []string{"text/plain"} },
	} {
		if got := of(change); got.Name != base.Name || got.Payload == base.Payload {
			t.Errorf("another %s: %+v, and was %+v: want the same name for another payload", name, got, base)
		}
	}
	for name, change := range map[string]func(*Write){
		"client":   func(*Write) { client = "bob" },
		"host":     func(w *Write) { client, w.Host = "alice", "other.example" },
		"upstream": func(w *Write) { client, w.Upstream = "alice", "other" },
	} {
		if got := of(change); got.Name == base.Name {
			t.Errorf("another %s meets the key of this one", name)
		}
	}
	if all := sealer(t, second, first).Identities(sample(), "alice", "k1"); len(all) != 2 || all[1] != base {
		t.Error("after another secret took the place of the first, the key is not found")
	}
}

// A UUID of version 7 (RFC 9562 §5.7).
func TestNewKey(t *testing.T) {
	key := NewKey(time.UnixMilli(0x017F22E279B0), [10]byte{0xFF, 0xFF, 0xFF, 0, 1, 2, 3, 4, 5, 6})
	if want := "017f22e2-79b0-7fff-bf00-010203040506"; key != want {
		t.Errorf("%s, want %s", key, want)
	}
}

func TestKeysAreSpread(t *testing.T) {
	seen := map[int]bool{}
	for i := range 200 {
		seen[PartitionOf(KeyOf("shop", strings.Repeat("x", i)))] = true
	}
	if len(seen) != Partitions {
		t.Errorf("200 keys are in %d partitions", len(seen))
	}
}
