package pgoutput

import (
	"reflect"
	"strings"
	"testing"
	"time"
)

// messages are as a server of version 15 has sent them.
var messages = []struct {
	raw  string
	want any
}{
	{"B\x00\x00\x00\x00\x01P\xf9\xa8\x00\x02\xff\x7a\x71\x1c\x00\x00\x00\x00\x02\xdb", &Begin{XID: 731, At: time.UnixMicro(946_684_800_000_000 + 0x0002ff7a711c0000)}},
	{"C\x00\x00\x00\x00\x00\x01P\xf9\xa8\x00\x00\x00\x00\x01P\xf9\xd8\x00\x03\x04\x38P\x91\xb1\x08", &Commit{End: 0x150f9d8}},
	{"R\x00\x00@\x06public\x00p1\x00f\x00\x02\x01id\x00\x00\x00\x00\x17\xff\xff\xff\xff\x00big\x00\x00\x00\x00\x19\xff\xff\xff\xff",
		&Relation{OID: 0x4006, Schema: "public", Name: "p1", Columns: []Column{{"id", true}, {"big", false}}}},
	{"R\x00\x00@\x06\x00p1\x00d\x00\x00", &Relation{OID: 0x4006, Schema: "pg_catalog", Name: "p1"}},
	{"I\x00\x00@\x06N\x00\x03t\x00\x00\x00\x011nu", &Change{Kind: 'I', Relation: 0x4006, New: []Value{{text, "1"}, {Kind: Null}, {Kind: Unchanged}}}},
	{"U\x00\x00@\x06K\x00\x01t\x00\x00\x00\x011N\x00\x01t\x00\x00\x00\x012", &Change{Kind: 'U', Relation: 0x4006, Old: []Value{{text, "1"}}, New: []Value{{text, "2"}}}},
	{"U\x00\x00@\x06N\x00\x01t\x00\x00\x00\x00", &Change{Kind: 'U', Relation: 0x4006, New: []Value{{text, ""}}}},
	{"D\x00\x00@\x06O\x00\x00", &Change{Kind: 'D', Relation: 0x4006, Old: []Value{}}},
	{"T\x00\x00\x00\x02\x00\x00\x00@\x06\x00\x00@\x0d", &Truncate{[]uint32{0x4006, 0x400d}}},
	{"M\x01\x00\x00\x00\x00\x01Q!\x18cacheproxy:s\x00\x00\x00\x00\x05hello", &Note{true, "cacheproxy:s", "hello"}},
	{"O\x00\x00\x00\x00\x01Q!\x18a\x00", nil},
}

// TestParse reads each kind of message, none that is shorter or longer by a byte, and none of another kind.
func TestParse(t *testing.T) {
	for _, m := range messages {
		got, err := Parse([]byte(m.raw))
		if err != nil || !reflect.DeepEqual(got, m.want) {
			t.Errorf("%q: %#v %v, want %#v", m.raw, got, err, m.want)
		}
		if m.want == nil {
			continue
		}
		for i := range m.raw {
			if got, err := Parse([]byte(m.raw[:i])); err == nil {
				t.Errorf("%q is %#v", m.raw[:i], got)
			}
		}
		if got, err := Parse([]byte(m.raw + "\x00")); err == nil {
			t.Errorf("%q, and a byte, is %#v", m.raw, got)
		}
	}
	for _, raw := range []string{"", "X", "S\x00\x00\x00\x01\x01", "D\x00\x00@\x06N\x00\x00", "I\x00\x00@\x06O\x00\x00", "I\x00\x00@\x06N\x00\x01b\x00\x00\x00\x00"} {
		if got, err := Parse([]byte(raw)); err == nil {
			t.Errorf("%q is %#v", raw, got)
		}
	}
	if oid, ok := Of([]byte("U\x00\x00@\x06O\x00\x07t\xff\xff\xff\xffabc")); oid != 0x4006 || !ok {
		t.Errorf("of %d %v", oid, ok)
	}
	if _, ok := Of([]byte("T\x00\x00@\x06O")); ok {
		t.Error("a truncate is the change of a row")
	}
	if text := LSN(0x1_0000_00ab).String(); text != "1/AB" {
		t.Error(text)
	}
}

// FuzzParse asserts that whatever bytes come neither end the program nor become larger than they were: a length that a message
// claims is not what is allocated.
func FuzzParse(f *testing.F) {
	for _, m := range messages {
		f.Add([]byte(m.raw))
	}
	f.Add([]byte("I\x00\x00@\x06N\xff\xfft\xff\xff\xff\xff"))
	f.Add([]byte("T\xff\xff\xff\xff\x00"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		Of(raw)
		m, err := Parse(raw)
		if err != nil && !strings.HasPrefix(err.Error(), "read message") {
			t.Error(err)
		}
		size := 0
		switch m := m.(type) {
		case *Change:
			for _, v := range append(m.Old, m.New...) {
				size += 1 + len(v.Text)
			}
		case *Relation:
			size = len(m.Columns) * 10
		case *Truncate:
			size = len(m.Relations) * 4
		case *Note:
			size = len(m.Prefix) + len(m.Content)
		}
		if size > len(raw) {
			t.Errorf("%d bytes became %d", len(raw), size)
		}
	})
}
