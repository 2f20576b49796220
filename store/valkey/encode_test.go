package valkey

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"net/http"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"time"

	"cacheproxy/invalidation"
	"cacheproxy/invalidation/fleet"
	"cacheproxy/policy/httpcache"
	"cacheproxy/store"
	"cacheproxy/store/coding"
)

const most = 1 << 20

var shared = fleet.LogPosition{History: fleet.History{1, 2, 3}, Seq: 4711, Nonce: 0xfedcba9876543210}

// sample is a copy with something of everything.
func sample(body string) *store.Copy {
	c := store.NewCopy(200, http.Header{
		"Content-Type": {"text/html; charset=utf-8"}, "Link": {"</a>; rel=preload", "</b>; rel=preload"}, "X-Empty": {""},
	}, []byte(body))
	fill(c)
	return c
}

func fill(c *store.Copy) {
	c.SetLife(httpcache.Lifetime{
		Date: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Received: time.Date(2026, 1, 2, 3, 4, 6, 789, time.UTC),
		InitialAge: time.Second, Fresh: time.Minute, StaleWhileRevalidate: 2, StaleIfError: 3, Keep: time.Hour, MustRevalidate: true,
	})
	c.SetVary([]string{"Accept-Language", "X-Site"})
	c.SetAsked("Accept: */*\nAccept-Language: de\n")
	c.SetMembers([]invalidation.ID{1, 1 << 60, ^invalidation.ID(0)})
}

func held(c httpcache.Coding, body string) *store.Copy {
	s := store.NewCoded(200, http.Header{"Etag": {`"1"`}}, []byte(body), c, coding.Encode(c, []byte(body)))
	fill(s)
	return s
}

func samples() map[string]store.Item {
	gone := store.NewCopy(404, nil, []byte{})
	gone.SetLife(httpcache.Lifetime{Date: time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC), Received: time.Unix(0, 0).UTC(), Keep: time.Second, NoCache: true})
	return map[string]store.Item{
		"copy": sample("body"), "long": sample(strings.Repeat("a line of text. ", 10_000)), "empty": gone,
		"gzip": held(httpcache.Gzip, strings.Repeat("text ", 1000)), "zstd": held(httpcache.Zstd, strings.Repeat("text ", 1000)),
		"variants": &store.Variants{
			Selections: [][]string{{"Accept-Language", "X-Site"}, {"X-Site"}},
			Keys:       []string{"key-1", "key-2", "other", "k", ""},
		},
	}
}

// decoded is what a value is taken for.
func decoded(value []byte, key string, most int64) (store.Item, fleet.LogPosition, error) {
	s, err := open(value, key, nil)
	if err != nil {
		return nil, s.at, err
	}
	if s.flags&flagVariants != 0 {
		v, err := s.variants()
		return v, s.at, err
	}
	c, err := s.copy(most)
	return c, s.at, err
}

func TestEncodedIsDecoded(t *testing.T) {
	for about, item := range samples() {
		for _, pack := range []bool{false, true} {
			value, err := encode("key", item, shared, pack, nil)
			if err != nil {
				t.Fatal(err)
			}
			got, at, err := decoded(value, "key", most)
			if err != nil || !reflect.DeepEqual(got, item) {
				t.Errorf("%s, pack %v: %+v came back, %v; want %+v", about, pack, got, err, item)
			}
			if want := shared; about != "variants" && at != want {
				t.Errorf("%s: position %v came back, want %v", about, at, want)
			}
		}
	}
	if _, err := encode("key", &store.Mark{}, shared, false, nil); err == nil {
		t.Error("a mark is encoded")
	}
}

func TestPackedIsShorter(t *testing.T) {
	text := sample(strings.Repeat("a line of text. ", 100))
	plain, _ := encode("key", text, shared, false, nil)
	packed, _ := encode("key", text, shared, true, nil)
	if len(packed) > len(plain)/4 {
		t.Errorf("packed: %d bytes, plain: %d", len(packed), len(plain))
	}
	for about, c := range map[string]*store.Copy{"short": sample("body"), "held compressed": held(httpcache.Gzip, strings.Repeat("text ", 1000))} {
		if value, _ := encode("key", c, shared, true, nil); value[historyAt-1]&flagPacked != 0 {
			t.Errorf("%s: it is packed, which is of no use", about)
		}
	}
}

// The front is where the script that writes looks for it, whatever the item.
func TestFront(t *testing.T) {
	for about, item := range samples() {
		value, _ := encode("key", item, shared, true, nil)
		want := fleet.LogPosition{}
		if about != "variants" {
			want = shared
		}
		front := append([]byte("cp\x01"), value[3])
		front = append(front, want.History[:]...)
		front = binary.BigEndian.AppendUint64(front, want.Seq)
		if !bytes.HasPrefix(value, front) {
			t.Errorf("%s begins %x, want %x", about, value[:nonceAt], front)
		}
	}
}

// No damage makes a copy of anything else than what was written.
func TestDamagedIsNothing(t *testing.T) {
	for about, item := range samples() {
		value, _ := encode("key", item, shared, true, nil)
		for n := range len(value) {
			if _, _, err := decoded(value[:n], "key", most); err == nil {
				t.Fatalf("%s: the first %d of %d bytes are taken for whole", about, n, len(value))
			}
		}
		for i := range value {
			broken := bytes.Clone(value)
			broken[i] ^= 1 << rand.IntN(8)
			if _, _, err := decoded(broken, "key", most); err == nil {
				t.Fatalf("%s: byte %d is another and nobody notices", about, i)
			}
		}
		if _, _, err := decoded(value, "another", most); !errors.Is(err, errUnusable) {
			t.Errorf("%s of another key: %v", about, err)
		}
		newer := bytes.Clone(value[:len(value)-checksumed])
		newer[2] = versionSigned + 1
		if _, _, err := decoded(appendChecksum(newer), "key", most); !errors.Is(err, errUnusable) {
			t.Errorf("%s of another version: %v", about, err)
		}
	}
}

// A value that unfolds to more than may be is refused, and nobody makes room for what it says.
func TestBombIsRefused(t *testing.T) {
	bomb := sample(strings.Repeat("\x00", 64<<20))
	value, _ := encode("key", bomb, shared, true, nil)
	if len(value) > 64<<10 {
		t.Fatalf("the bomb has %d bytes", len(value))
	}
	lie := bytes.Replace(value[:len(value)-checksumed], binary.AppendUvarint(nil, 64<<20), binary.AppendUvarint(nil, 1000), -1)
	for about, value := range map[string][]byte{"honest": value, "lying": appendChecksum(lie)} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, _, err := decoded(value, "key", most)
		runtime.ReadMemStats(&after)
		if !errors.Is(err, ErrGarbled) {
			t.Errorf("%s: %v", about, err)
		}
		if n := after.TotalAlloc - before.TotalAlloc; n > 8*most {
			t.Errorf("%s: %d bytes were taken for it", about, n)
		}
	}
}

// Head and body together are no longer than may be.
func TestLongerThanMayBe(t *testing.T) {
	c := sample("body")
	value, _ := encode("key", c, shared, false, nil)
	for most, want := range map[int]bool{len(c.Head()) + len(c.Body()): true, len(c.Head()) + len(c.Body()) - 1: false} {
		if _, _, err := decoded(value, "key", int64(most)); (err == nil) != want {
			t.Errorf("up to %d bytes: %v", most, err)
		}
	}
}

func FuzzDecode(f *testing.F) {
	for _, item := range samples() {
		for _, pack := range []bool{false, true} {
			value, _ := encode("key", item, shared, pack, nil)
			f.Add(value[:len(value)-checksumed], "key")
		}
	}
	f.Fuzz(func(t *testing.T, value []byte, key string) {
		const most = 64 << 10
		item, at, err := decoded(appendChecksum(bytes.Clone(value)), key, most)
		if err != nil {
			return
		}
		if c, ok := item.(*store.Copy); ok && len(c.Head())+len(c.Body()) > most {
			t.Fatalf("a head of %d bytes and a body of %d", len(c.Head()), len(c.Body()))
		}
		again, err := encode(key, item, at, false, nil)
		if err != nil {
			t.Fatal(err)
		}
		if got, _, err := decoded(again, key, most); err != nil || !reflect.DeepEqual(got, item) {
			t.Fatalf("%+v is encoded as %+v, %v", item, got, err)
		}
	})
}

func FuzzRoundTrip(f *testing.F) {
	f.Add("key", 200, "text/plain", []byte("body"), "Accept", uint64(1), int64(1), int64(1))
	f.Fuzz(func(t *testing.T, key string, status int, value string, body []byte, vary string, member uint64, age, keep int64) {
		c := store.NewCopy(200+int(uint16(status))%800, http.Header{"Content-Type": {value, value}}, body)
		c.SetLife(httpcache.Lifetime{
			Date: time.Unix(age, 0).UTC(), Received: time.Unix(keep, max(keep%1e9, 0)).UTC(), InitialAge: time.Duration(max(age, 0)),
			Keep: min(time.Duration(max(keep, 0)), httpcache.MaxKeep), MustRevalidate: age%2 == 0,
		})
		c.SetVary([]string{vary})
		c.SetMembers([]invalidation.ID{invalidation.ID(member)})
		for _, pack := range []bool{false, true} {
			value, err := encode(key, c, shared, pack, nil)
			if err != nil {
				t.Fatal(err)
			}
			got, at, err := decoded(value, key, 1<<30)
			if err != nil || at != shared {
				t.Fatalf("pack %v: %v, position %v", pack, err, at)
			}
			if !reflect.DeepEqual(got, store.Item(c)) {
				t.Fatalf("pack %v: %+v came back, want %+v", pack, got, c)
			}
		}
	})
}
