package servers

import (
	"context"
	"strings"
	"testing"
	"time"
)

// A server keeps its port when it starts again, and what it has written down.
func TestValkeyStartsAgain(t *testing.T) {
	for _, program := range []string{ValkeyProgram, RedisProgram} {
		t.Run(program, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			v := Valkey(t, ValkeyOptions{Program: program, Args: []string{"--appendonly", "yes", "--appendfsync", "always"}})
			if _, err := v.CLI(ctx, "SET", "a", "1"); err != nil {
				t.Fatal(err)
			}
			before := v.Address()
			v.Kill()
			if _, err := v.CLI(ctx, "GET", "a"); err == nil {
				t.Fatal("it answers after it was killed")
			}
			if err := v.Start(ctx); err != nil {
				t.Fatal(err)
			}
			got, err := v.CLI(ctx, "GET", "a")
			if got != "1" || err != nil || v.Address() != before {
				t.Errorf("after the restart at %s, before at %s: %q, %v; want what was appended to the file", v.Address(), before, got, err)
			}
		})
	}
}

func TestValkeyClusterServesAllSlots(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for i, node := range ValkeyCluster(t, "") {
		for _, key := range []string{"a", "b", "c", "d", "e", "f"} {
			if _, err := node.CLI(ctx, "-c", "SET", key, "1"); err != nil {
				t.Errorf("node %d: %v", i, err)
			}
		}
	}
}

// The replica takes the place of a primary that was killed.
func TestValkeySentinelFailsOver(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	s := StartValkeySentinel(t, "")
	if _, err := s.Primary.CLI(ctx, "SET", "a", "1"); err != nil {
		t.Fatal(err)
	}
	s.Primary.Kill()
	s.Replica.await(ctx, t, func(info string) bool { return strings.Contains(info, "role:master") }, "INFO", "replication")
}
