package valkey

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"cacheproxy/invalidation"
	"cacheproxy/invalidation/fleet"
	"cacheproxy/policy"
	"cacheproxy/test/servers"

	"golang.org/x/sync/errgroup"
)

// Whatever somebody writes over any part of the log, purges hold and instances use copies again within seconds, also those that come
// later, and without anybody's doing. What it has cost is told: copies from before are not used unconfirmed where the log was damaged.
func TestLogWrittenOver(t *testing.T) {
	t.Parallel()
	const name = "{P}:" // P stands for the prefix of the case
	type damage struct {
		what     string
		anew     bool // a log begins, and nothing from before is used unconfirmed
		slow     bool // purges may take the longest lease that can be
		commands [][]string
	}
	one := func(what string, anew bool, command ...string) damage {
		return damage{what: what, anew: anew, commands: [][]string{command}}
	}
	cases := []damage{
		one("an item by the clock", true, "XADD", name+"log", "*", "zz", "forged"),
		one("an item that looks like an entry", true, "XADD", name+"log", "*", "n", "1", "e", "forged"),
		one("an item after the last entry", true, "EVAL", "return redis.call('XADD', KEYS[1], redis.call('HGET', KEYS[2], 's') .. '-7', 'n', '1', 'e', 'x')", "2", name+"log", name+"meta"),
		one("no entry before the last", true, "EVAL", "return redis.call('XDEL', KEYS[1], (redis.call('HGET', KEYS[2], 's') - 1) .. '-0')", "2", name+"log", name+"meta"),
		one("an item at the next position", true, "EVAL", "return redis.call('XADD', KEYS[1], (redis.call('HGET', KEYS[2], 's') + 1) .. '-0', 'n', '1', 'e', 'x')", "2", name+"log", name+"meta"),
		one("another item for the last entry", true, "EVAL", "redis.call('DEL', KEYS[1]) return redis.call('XADD', KEYS[1], redis.call('HGET', KEYS[2], 's') .. '-0', 'zz', '1')", "2", name+"log", name+"meta"),
		{what: "an item that was removed", anew: true, commands: [][]string{{"XADD", name + "log", "999999999999-0", "zz", "forged"}, {"XDEL", name + "log", "999999999999-0"}}},
		one("a last id", true, "XSETID", name+"log", "999999999999-0"),
		one("a position that is too high", true, "HSET", name+"meta", "s", "999"),
		one("a position that is too low", true, "HSET", name+"meta", "s", "1"),
		one("a position that is no number", true, "HSET", name+"meta", "s", "x"),
		one("a history that is none", true, "HSET", name+"meta", "h", "x"),
		one("numbers without end", false, "HSET", name+"meta", "f", strings.Repeat("9", 40), "r", strings.Repeat("9", 40), "l", strings.Repeat("9", 40)),
		{what: "the longest numbers", slow: true, commands: [][]string{{"HSET", name + "meta", "f", "999999999999999", "l", "999999999999999"}}},
		one("a floor beyond the log", false, "HSET", name+"meta", "f", "99999"),
		one("a server without a term", false, "HSET", name+"meta", "k", "x"),
		one("a term that is none", false, "RPUSH", name+"terms", "x"),
		one("marks that are none", true, "ZADD", name+"hard", "inf", "x", "-inf", "y", "1", "12345678"),
		one("an instance that is none", false, "HSET", name+"live", "x", "y", "z", "1:999999999999999999999:0"),
		one("leases of nobody", false, "HSET", name+"leases", "a", "x", "b", "1:2", "c", "99999999999999999999999:1:1"),
		one("a fence and a notice that are none", true, "EVAL", "redis.call('HSET', KEYS[1], 'x', 'y') return redis.call('HSET', KEYS[2], 'x', 'y')", "2", name+"fences", name+"notices"),
		one("a mark that is missing", true, "ZREMRANGEBYRANK", name+"hard", "0", "0"),
		one("a notice that is missing", true, "HDEL", name+"notices", "standing"),
		one("a clock that is none", false, "ZADD", name+"clock", "1", "x"),
	}
	for _, key := range []string{"meta", "log", "hard", "soft", "fences", "notices", "live", "leases", "clock", "terms", "signed", "vouch"} {
		cases = append(cases, damage{what: "another type: " + key, anew: true, commands: [][]string{{"SET", name + key, "x"}}})
		cases = append(cases, damage{what: "no " + key, anew: slices.Contains([]string{"hard", "soft", "notices", "signed"}, key), commands: [][]string{{"DEL", name + key}}})
	}
	for _, program := range servers.ValkeyPrograms() {
		server := servers.Valkey(t, servers.ValkeyOptions{Program: program})
		s := serverAt(server.Address())
		var running errgroup.Group // the cases wait more than they do
		running.SetLimit(8)
		try := func(i int, c damage) {
			t.Run(program+"/"+c.what, func(t *testing.T) {
				var begun atomic.Int64
				options := func(o *Options) {
					signed(true, secretA)(o)
					o.Prefix = fmt.Sprint("case", i)
					o.Lease = 3 * lease // eight cases at once take their time, also for what is said of them here
					o.Observe = func(_ string, _ time.Duration, err error) {
						if errors.Is(err, ErrForeign) {
							begun.Add(1)
						}
					}
				}
				a, b := join(t, s, "a", options), join(t, s, "b", options)
				purge(t, a, key("first"))
				purge(t, a, key("second"))
				purge(t, a, key("third"))
				if _, err := a.Invalidate(t.Context(), invalidation.Order{Members: []policy.Member{key("fourth")}, Soft: true}); err != nil {
					t.Fatal(err)
				}
				if _, err := a.Announce(t.Context(), invalidation.Notice{Subject: "standing", Body: []byte("y")}); err != nil {
					t.Fatal(err)
				}
				a.syncer.mu.Lock()
				a.syncer.tidied = time.Time{} // so that old marks are looked at, too
				a.syncer.mu.Unlock()
				tokens := map[*member]invalidation.Token{a: a.ledger.Token(), b: b.ledger.Token()}
				for _, command := range c.commands {
					command = slices.Clone(command)
					for i := range command {
						command[i] = strings.ReplaceAll(command[i], "{P}", "{"+a.options.Prefix+"}")
					}
					if out, err := server.CLI(t.Context(), command...); err != nil || strings.Contains(out, "ERR") {
						t.Fatal(out, err)
					}
				}
				if c.slow {
					a.await(t, "word of it", func() bool { return a.LeaseTimeout() == invalidation.Timeout(invalidation.MaxLease) })
					return
				}
				all := [][]policy.Member{{key("k")}, {key("soft")}}
				for i, members := range all {
					ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
					defer cancel()
					order := invalidation.Order{Members: members, Soft: i == 1}
					_, err := a.Invalidate(ctx, order)
					// It gives up after the time of a lease, by which a machine that has much else to do may not have gone over to the log.
					for errors.Is(err, invalidation.ErrNotRecorded) && ctx.Err() == nil {
						_, err = a.Invalidate(ctx, order)
					}
					if err != nil {
						t.Fatalf("purge: %v; others are waited for by %v; state %+v", err, a.LeaseTimeout(), a.State())
					}
				}
				if c.anew && !strings.HasPrefix(c.what, "another type") { // that may be seen only by what is written below
					a.await(t, "another log", func() bool { return begun.Load() > 0 }) // before a newcomer looks at this one
				}
				for _, m := range []*member{a, b} {
					if m.Lease().Valid(time.Now()) && m.admits(tokens[m], key("k")) {
						t.Errorf("%s has a lease, and has not applied the purge", m.name)
					}
				}
				b.await(t, "write", func() bool {
					f, err := b.Begin(t.Context(), []policy.Member{key("written")})
					if err == nil {
						_, err = b.End(t.Context(), f, invalidation.Order{})
					}
					return err == nil
				})
				if _, err := a.Announce(t.Context(), invalidation.Notice{Subject: "x", Body: []byte("y")}); err != nil {
					t.Errorf("notice: %v", err)
				}
				late := join(t, s, "late", options)
				purge(t, late, key("late"))
				late.await(t, "the notice that stood before", func() bool {
					late.mu.Lock()
					defer late.mu.Unlock()
					return slices.ContainsFunc(late.notices, func(n invalidation.Notice) bool { return n.Subject == "standing" })
				})
				for _, m := range []*member{a, b, late} {
					m.await(t, "lease", func() bool { return m.Lease().Valid(time.Now()) })
					if !m.admits(m.ledger.Token(), key("new")) {
						t.Errorf("%s stores no copies", m.name)
					}
					if m.LeaseTimeout() > invalidation.Timeout(invalidation.MaxLease) {
						t.Errorf("%s waits for %v", m.name, m.LeaseTimeout())
					}
				}
				if !c.anew {
					return
				}
				for _, m := range []*member{a, b} {
					var stamp invalidation.Stamp
					stamp.Set(tokens[m])
					if got := m.ledger.Check(&stamp, invalidation.IDsOf([]policy.Member{key("other"), policy.All})); got != invalidation.Unconfirmed && got != invalidation.Purged {
						t.Errorf("%s: a copy from before is %v", m.name, got)
					}
				}
				if n := begun.Load(); n != 1 {
					t.Errorf("%d logs begun anew are counted", n)
				}
			})
		}
		for i, c := range cases {
			running.Go(func() error { try(i, c); return nil })
		}
		_ = running.Wait()
	}
}

// A notice that somebody has written over is told of to who starts, as one that cannot be read: that there was none is not to be thought.
func TestNoticeWrittenOver(t *testing.T) {
	t.Parallel()
	server := servers.Valkey(t, servers.ValkeyOptions{})
	for i, change := range []func(*Options){func(*Options) {}, signed(true, secretA)} {
		s := serverAt(server.Address())
		options := func(o *Options) {
			o.Prefix = fmt.Sprint("case", i)
			change(o)
		}
		a := join(t, s, "a", options)
		for _, subject := range []string{"one", "another"} {
			if _, err := a.Announce(t.Context(), invalidation.Notice{Subject: subject, Body: []byte("y")}); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := server.CLI(t.Context(), "HSET", "{"+a.options.Prefix+"}:notices", "one", "x"); err != nil {
			t.Fatal(err)
		}
		late := join(t, s, "late", options)
		late.mu.Lock()
		told := map[string]string{}
		for _, n := range late.notices {
			told[n.Subject] = string(n.Body)
		}
		late.mu.Unlock()
		if len(told) != 2 || told["one"] != fleet.Unreadable || told["another"] != "y" {
			t.Errorf("case %d: told of %q", i, told)
		}
	}
}
