package invalidation

import (
	"bytes"
	"testing"
	"time"

	"cacheproxy/policy"
)

// What was read can be written again and read alike; what cannot be read invalidates everything.
func FuzzParseRecord(f *testing.F) {
	for _, r := range []Record{
		{}, {Operation: InvalidateConfirm, IDs: []ID{allID}}, {Operation: InvalidateSoft, IDs: []ID{allID, IDOf(policy.NewMember(policy.KindKey, "1"))}}, {Operation: BeginFence, IDs: []ID{tagID("1")}, Fence: 1 << 60, Life: time.Minute},
		{Operation: Announce, Notice: Notice{"mode/x", []byte("off")}, Settle: time.Second, Repeats: 9},
		{IDs: []ID{tagID("1")}, Older: []ID{tagID("2")}},
	} {
		f.Add(r.Append(nil))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := ParseRecord(1, 2, data)
		if err != nil {
			if len(r.IDs) != 1 || r.IDs[0] != allID || r.Operation != Invalidate {
				t.Fatalf("not understood, and yet %+v", r)
			}
			return
		}
		again, err := ParseRecord(1, 2, r.Append(nil))
		if err != nil || !bytes.Equal(again.Append(nil), r.Append(nil)) {
			t.Fatalf("%+v became %+v, %v", r, again, err)
		}
	})
}
