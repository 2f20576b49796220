package load

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"time"
)

// watchMemory asks the server every second how much it uses, until what it returns is called.
func (r *run) watchMemory() func() []int64 {
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan []int64)
	go func() {
		var all []int64
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				done <- all
				return
			case <-tick.C:
				info, err := r.valkey.CLI(ctx, "info", "memory")
				_, after, found := strings.Cut(info, "used_memory:")
				line, _, _ := strings.Cut(after, "\r")
				if n, failed := strconv.ParseInt(strings.TrimSpace(line), 10, 64); err == nil && found && failed == nil {
					all = append(all, n)
				}
			}
		}
	}()
	return func() []int64 { stop(); return <-done }
}

// flat holds that once a window has passed the memory of Valkey grows no more: the second half of what is left has no greater a peak than
// the first, by a twentieth.
func (r *run) flat(all []int64) {
	warm := int((*window + 2**bucket + 5*time.Second) / time.Second)
	if len(all) < warm+10 {
		r.Logf("memory of Valkey: too short to tell: %d", all)
		return
	}
	all = all[warm:]
	first, second := slices.Max(all[:len(all)/2]), slices.Max(all[len(all)/2:])
	r.Logf("memory of Valkey: at most %.2f MB in the first half after a window, %.2f MB in the second; %.2f MB in the end", mb(first), mb(second), mb(all[len(all)-1]))
	if second > first+first/20 && *duration > 4**window {
		r.Errorf("the memory of Valkey grows: from %d to %d bytes", first, second)
	}
}

func mb(bytes int64) float64 { return float64(bytes) / 1e6 }
