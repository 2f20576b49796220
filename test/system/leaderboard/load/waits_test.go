package load

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// waits is for what the parts of the system had to wait besides each other: what is late is late for one of these reasons.
func (r *run) waits() map[string]time.Duration {
	r.Helper()
	all := map[string]time.Duration{}
	for name, pid := range map[string]int{
		"the test": os.Getpid(), "Valkey": r.valkey.Process().PID(), "instance 1": r.instances[0].Load().Process.PID(), "instance 2": r.instances[1].Load().Process.PID(),
	} {
		threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
		if err != nil {
			r.Fatal(err)
		}
		for _, file := range threads { // ns on a core, ns ready and waiting for one, turns
			text, err := os.ReadFile(file)
			var ran, waited, turns int64
			if _, failed := fmt.Sscan(string(text), &ran, &waited, &turns); err == nil && failed == nil {
				all[name] += time.Duration(waited)
			}
		}
	}
	return all
}

// stalls says what has kept Valkey from answering for 100 ms or longer, and how often its disk had it wait.
func (r *run) stalls() string {
	r.Helper()
	info, err := r.valkey.CLI(context.Background(), "info", "persistence")
	if err != nil {
		r.Fatal(err)
	}
	_, after, _ := strings.Cut(info, "aof_delayed_fsync:")
	delayed, _, _ := strings.Cut(after, "\r")
	latest, err := r.valkey.CLI(context.Background(), "latency", "latest")
	if err != nil {
		r.Fatal(err)
	}
	if latest = strings.Join(strings.Fields(latest), " "); latest == "" {
		latest = "none"
	}
	return fmt.Sprintf("writes of Valkey that waited for the disk: %s; its stalls of 100 ms or longer (what, when, the last and the longest in ms): %s", delayed, latest)
}
