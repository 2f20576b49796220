package e2e

import (
	"fmt"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"
)

const (
	largeBody = 160 << 20
	// passBound is what the whole process may take while bodies of 160 MiB go through it, code and buffers included: less than one of them.
	passBound = 96 << 20
)

// Bodies of any size go through in either direction, byte for byte, without being held in memory.
func TestLargeBodies(t *testing.T) {
	var uploaded uint32
	url := newServer(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			uploaded = checksum(t, r.Body)
			return
		}
		w.Header().Set("Cache-Control", "max-age=60")
		w.Header().Set("Content-Type", "application/octet-stream")
		if _, err := io.Copy(w, noise()); err != nil {
			t.Error(err)
		}
	})
	p := serve(t, "--upstream", url)
	want := checksum(t, noise())
	res, err := client.Post(p.data+"/up", "application/octet-stream", noise())
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != http.StatusOK || uploaded != want {
		t.Errorf("upload: %d, checksum %x, want %x", res.StatusCode, uploaded, want)
	}
	if res, err = client.Get(p.data + "/down"); err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if got := checksum(t, res.Body); res.StatusCode != http.StatusOK || got != want {
		t.Errorf("download: %d, checksum %x, want %x", res.StatusCode, got, want)
	}
	peak := p.memory(t, "VmHWM")
	t.Logf("at most %d MiB resident", peak>>20)
	if peak > passBound {
		t.Errorf("the process took %d MiB, want at most %d", peak>>20, passBound>>20)
	}
}

// noise is 160 MiB that no one could compress or repeat by mistake, always the same.
func noise() io.Reader { return io.LimitReader(rand.NewChaCha8([32]byte{}), largeBody) }

func checksum(t testing.TB, r io.Reader) uint32 {
	t.Helper()
	sum := crc32.NewIEEE()
	if n, err := io.Copy(sum, r); err != nil || n != largeBody {
		t.Errorf("%d bytes, %v, want %d", n, err, largeBody)
	}
	return sum.Sum32()
}

// memory is a line of the process's /proc status, in bytes: VmRSS now, VmHWM at most so far.
func (p *process) memory(t testing.TB, name string) int {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		if value, ok := strings.CutPrefix(line, name+":"); ok {
			kib, err := strconv.Atoi(strings.Fields(value)[0])
			if err != nil {
				t.Fatal(err)
			}
			return kib << 10
		}
	}
	t.Fatalf("no %s in %s", name, status)
	return 0
}
