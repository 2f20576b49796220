package invalidation

import (
	"errors"
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
