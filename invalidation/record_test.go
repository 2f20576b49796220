package invalidation

import (
	"bytes"
	"errors"
	"slices"
	"testing"
	"time"

	"cacheproxy/policy"
)

// A record of a later version invalidates everything, and so does a member of a kind that no copy here can have.
func TestRecordsOfOthers(t *testing.T) {
	good := Record{Operation: EndFence, IDs: []ID{tagID("a")}, Fence: 7, Life: time.Second, Settle: time.Minute, Notice: Notice{Subject: "s", Body: []byte("b")}, Repeats: 3}
	data := good.Append(nil)
	strange := Record{IDs: []ID{ID(uint64(lastKind+1) << (64 - kindBits))}}
	for name, b := range map[string][]byte{
		"empty": nil, "cut": data[:len(data)-1], "longer": append(data[:len(data):len(data)], 0), "later version": append([]byte{recordVersion + 1}, data[1:]...),
		"later operation": append([]byte{recordVersion, byte(lastOperation) + 1}, data[2:]...), "later member": strange.Append(nil),
	} {
		r, err := ParseRecord(4, 5, b)
		if !errors.Is(err, errRecord) || r.Operation != Invalidate || len(r.IDs) != 1 || r.IDs[0] != IDOf(policy.All) || r.Seq != 4 || r.Nonce != 5 {
			t.Errorf("%s: %+v, %v", name, r, err)
		}
	}
}

// An entry with names for versions before this one is to them an entry that names all of it, and they read nothing else into it; this
// one applies its own names, and writes the others again where the log has lost the entry.
func TestNamesForOlderVersions(t *testing.T) {
	a, b, old := tagID("a"), tagID("b"), tagID("old")
	for _, op := range []Operation{Invalidate, InvalidateSoft, InvalidateConfirm, BeginFence, EndFence} {
		r := Record{Operation: op, IDs: []ID{a, b}, Older: []ID{old}, Fence: 7, Settle: time.Second}
		data := r.Append(nil)
		got, err := ParseRecord(1, 2, data)
		if err != nil || !slices.Equal(got.IDs, r.IDs) || !slices.Equal(got.Older, r.Older) || !bytes.Equal(got.Append(nil), data) {
			t.Errorf("%d: %+v, %v", op, got, err)
		}
		// The reader of those versions: a notice's body is read of every operation, and means something on Announce alone.
		before := parser{rest: data}
		before.take(2 + 8 + 8)
		before.uvarint()
		before.uvarint()
		before.bytes()
		before.bytes()
		if n := before.uvarint(); n != 3 || len(before.rest) != 3*8 || before.failed {
			t.Errorf("%d: a version before this one reads %d members in %d bytes", op, n, len(before.rest))
		}
	}
	r := Record{IDs: []ID{a}, Notice: Notice{Body: []byte{2}}}
	if got, err := ParseRecord(1, 2, r.Append(nil)); err == nil {
		t.Errorf("more names for older versions than there are: %+v", got)
	}
}
