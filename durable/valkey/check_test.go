package valkey

import (
	"errors"
	"testing"
)

// A server that reads its append-only file says aof_enabled:0 whatever is set, and must not be taken for one that has none: it is waited for.
func TestServerThatReadsItsDataBack(t *testing.T) {
	const loading = "loading:1\r\naof_enabled:0\r\nrole:master\r\nmaxmemory:0\r\nmaxmemory_policy:noeviction\r\n"
	for _, d := range []Proof{InMemory, OnDisk, OnReplica} {
		if err := weigh(loading, d); !errors.Is(err, errReadsBack) || Unfit(err) {
			t.Errorf("durability %v: %v", d, err)
		}
	}
	if err := weigh("loading:0\r\naof_enabled:0\r\n", OnDisk); !Unfit(err) {
		t.Errorf("a server without an append-only file: %v", err)
	}
	if err := weigh("loading:1\r\nmaxmemory:9\r\nmaxmemory_policy:allkeys-lru\r\n", OnDisk); !Unfit(err) {
		t.Errorf("a server that evicts: %v", err)
	}
}
