package valkey

import (
	"fmt"
	"strings"
	"strconv"
	"testing"

	"cacheproxy/invalidation"
	"cacheproxy/policy"
	"cacheproxy/test/servers"
)

func cpuOf(t *testing.T, server *servers.ValkeyServer) (us float64) {
	text, err := server.CLI(t.Context(), "INFO", "cpu")
	if err != nil { t.Fatal(err) }
	for line := range strings.Lines(text) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		if name == "used_cpu_user" || name == "used_cpu_sys" {
			f, _ := strconv.ParseFloat(value, 64)
			us += f * 1e6
		}
	}
	return us
}

func TestZZCost(t *testing.T) {
	server := servers.Valkey(t, servers.ValkeyOptions{})
	var all []*member
	for i := range 3 {
		all = append(all, join(t, serverAt(server.Address()), fmt.Sprint("m", i)))
	}
	a := all[0]
	purge(t, a, key("x"))
	mk := func(i int) invalidation.Record {
		return invalidation.Record{Nonce: uint64(i)*7919+12345, IDs: invalidation.IDsOf([]policy.Member{key("k%d", i%1000), key("j%d", i%1000)})}
	}
	const n = 4000
	full := appendScript.text
	rep := func(old, new string) func(string) string { return func(s string) string {
		if !strings.Contains(s, old) { t.Fatal(old) }
		return strings.Replace(s, old, new, 1) } }
	variants := []struct{ name string; f func(string) string }{
		{"full", func(s string) string { return s }},
		{"no publish", rep("redis.pcall('PUBLISH', ARGV[5], first .. ' ' .. before .. ' ' .. ARGV[6])", "")},
		{"no xrevrange", rep("local wrong, before = amiss(KEYS[3], m[2])", "local wrong, before = false, string.match(m[7] or '', ':(%x+)') or '0'")},
		{"no hkeys", rep("redis.call('HKEYS', KEYS[9])", "{}")},
		{"no zadd", rep("redis.call('ZADD', set, unpack(marks))", "")},
		{"no xadd", rep("added = redis.pcall('XADD', KEYS[3], 'MAXLEN', '~', ARGV[3], q .. '-0', 'n', nonce, 'e', record, 'p', last)", "")},
		{"xadd without maxlen", rep("added = redis.pcall('XADD', KEYS[3], 'MAXLEN', '~', ARGV[3], q", "added = redis.pcall('XADD', KEYS[3], q")},
		{"no legible", rep("if not legible(m) then return {'NOHIST'} end", "")},
		{"empty", func(string) string { return "return {'OK', '1', '', {}}" }},
	}
	for range 2 {
	for _, v := range variants {
		*appendScript = *newScript(v.f(full))
		a.writer.append(t.Context(), mk(0), false)
		before := cpuOf(t, server)
		for i := range n {
			if _, err := a.writer.append(t.Context(), mk(i), false); err != nil { t.Log(err); break }
		}
		fmt.Printf("%s: %.1f us\n", v.name, (cpuOf(t, server)-before)/n)
		if v.name == "no xadd" || v.name=="empty" { *appendScript = *newScript(full); for range 3 { purge(t, a, key("z")) } }
	}
	}
	*appendScript = *newScript(full)
}
