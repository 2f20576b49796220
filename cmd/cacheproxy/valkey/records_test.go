package valkey

import "testing"

// A server of which nine tenths are used is told of before it refuses submissions.
func TestRoomForRecords(t *testing.T) {
	for used, want := range map[string]Level{"10": Fine, "899": Fine, "900": Warning, "1100": Warning, "": Fine} {
		in := &inspection{}
		in.roomForRecords(node{info: map[string]string{"used_memory": used}, config: map[string]string{"maxmemory": "1000", "maxmemory-policy": "noeviction"}})
		if len(in.findings) != 1 || in.findings[0].Level != want {
			t.Errorf("%s of 1000 bytes: %+v", used, in.findings)
		}
	}
}

// What copies need of a server that they share with boards is no fault of it, and what it costs boards is told.
func TestServerOfCopiesAndBoards(t *testing.T) {
	for _, c := range []struct {
		shared bool
		policy string
		want   Level
	}{{true, "volatile-lfu", Warning}, {false, "volatile-lfu", wrong}, {true, "allkeys-lfu", wrong}, {true, "noeviction", Fine}} {
		in := &inspection{Use: Use{Shared: c.shared}}
		in.roomForRecords(node{info: map[string]string{"used_memory": "10"}, config: map[string]string{"maxmemory": "1000", "maxmemory-policy": c.policy}})
		if len(in.findings) != 1 || in.findings[0].Level != c.want {
			t.Errorf("shared %v, %s: %+v", c.shared, c.policy, in.findings)
		}
	}
}

// A disk that is slower than its server is told of, since it keeps the server from answering.
func TestRecordsWaitForDisk(t *testing.T) {
	for delayed, want := range map[string]Level{"": Fine, "0": Fine, "3": Warning} {
		in := &inspection{}
		in.recordsOnDisk(node{info: map[string]string{"aof_enabled": "1", "aof_delayed_fsync": delayed}, config: map[string]string{"appendfsync": "everysec"}})
		if len(in.findings) != 1 || in.findings[0].Level != want {
			t.Errorf("%s writes waited: %+v", delayed, in.findings)
		}
	}
}
