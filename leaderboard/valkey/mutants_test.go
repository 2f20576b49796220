package valkey

import (
	durable "cacheproxy/durable/valkey"
	"strings"
	"testing"
	"time"

	"cacheproxy/leaderboard"
	"cacheproxy/test/servers"
)

// allScripts are those that the random test comes by.
var allScripts = []*durable.Script{submitScript, readScript, owedScript, membersScript, archivedScript, linesScript, wholeScript}

// With each rule of the scripts switched off, the model does not agree.
func TestBrokenRulesOfScriptsAreNoticed(t *testing.T) {
	if raceEnabled {
		t.Skip("the rules are the server's: test/norace breaks them")
	}
	r := open(t, servers.Valkey(t, servers.ValkeyOptions{}))
	r.chunk = 2
	var (
		cut    = leaderboard.Rules{Top: 5}
		all    = leaderboard.Rules{}
		byName = leaderboard.Rules{Top: 5, Ties: leaderboard.ByName}
		sum    = leaderboard.Rules{Aggregate: leaderboard.Sum}
		last   = leaderboard.Rules{Aggregate: leaderboard.Last}
		eall   = leaderboard.Rules{Aggregate: leaderboard.Every}
		ever   = leaderboard.Rules{Top: 5, Window: leaderboard.Window{Span: leaderboard.AllTime}}
		eever  = leaderboard.Rules{Aggregate: leaderboard.Every, Top: 5, Window: leaderboard.Window{Span: leaderboard.AllTime}}
		day    = leaderboard.Rules{Top: 5, Window: leaderboard.Window{Span: leaderboard.Day}}
		kept   = leaderboard.Rules{Top: 5, Archived: true}
	)
	for _, m := range []struct {
		name     string
		old, new string
		rules    leaderboard.Rules
	}{
		{"a player has two places", "if agg == 'every' or not seen[h.name] then", "if true then", cut},
		{"the ranking keeps what has left", "if again then rebuild() end", "", cut},
		{"what has left is looked for too late", "if stampOf(mem) < E then again", "if stampOf(mem) < E - B then again", cut},
		{"windows do not slide by themselves", "if not due or now < due then return true end", "if true then return true end", cut},
		{"windows slide too early", "local E = floor(now - W)", "local E = floor(now - W) + B", all},
		{"buckets leave too early", "text(now - W)", "text(now - W + B)", cut},
		{"an earlier place is forgotten with a better one", "while #f > 0 do\n      local lz", "while #f > 0 do\n      if true then f = '' break end\n      local lz", all},
		{"a later submission of the same score comes first", "if oz and oz <= z or", "if oz and oz < z or", cut},
		{"the better does not stay", "if oz and oz <= z or not oz and beyond(r, z) then return false end", "", cut},
		{"the place before is left", "if olds ~= s then call('ZREM', r, member(name, olds)) end", "", cut},
		{"who is beyond is still known", "call('HDEL', e, nameOf(worst[i]))\n", "\n", ever},
		{"a bucket is cut to one less", "local over = call('ZCARD', key) - K\n", "local over = call('ZCARD', key) - K + 1\n", cut},
		{"a bucket is cut and knows who it was", "if agg ~= 'every' then call('HDEL', mine, nameOf(mem)) end", "", cut},
		{"the ranking is cut to one more", "local over = call('ZCARD', r) - K\n", "local over = call('ZCARD', r) - K - 1\n", ever},
		{"names do not decide", "if ties == 'earlier' then return pack('>I8', s) .. name end\n  return", "if ties == 'earlier' then return pack('>I8', s) .. name end\n  name = string.reverse(name)\n  return", byName},
		{"names decide only where all are looked through", "if p ~= q then return p < q end", "if p ~= q then return p > q end", byName},
		{"sums lose nothing", "total, weight, at = total - z,", "total, weight, at = total,", sum},
		{"a part of a sum is another bucket's", "if l == start then", "if true then", sum},
		{"the latest is the best", "if agg == 'last' then\n    f = part(z, s)", "if agg == 'last' then\n    if oz and oz < z then return false end\n    f = part(z, s)", last},
		{"a submission that has left is still the player's", "call('ZREM', y, own(nameOf(key), tonumber(z), stampOf(key)))", "", eall},
		{"a submission that is beyond is still the player's", "call('ZREM', y, own(nameOf(worst[i]), tonumber(worst[i + 1]), stampOf(worst[i])))", "", eever},
		{"who is below zero is ordered upside down", "for i = 1, 8 do c[i] = 255 - c[i] end", "", eall},
		{"the day does not end", "call('UNLINK', r, e, x, y)\n    note()", "note()", day},
		{"the day of the proxy's clock counts", "return span == 'period' and (now < ps or now + n > pe)", "return false", day},
		{"a part of the window slides", "if #old == chunk then return false end", "", all},
		{"stamps are given twice", "local s = math.max(us, last + 1)\nif floor", "local s = us - fmod(us, 1000)\nif floor", eall},
		{"a key records twice", "if was then\n    if string.sub", "if false then\n    if string.sub", cut},
		{"the archive gets what is cut", "if kept and not archived then\n    local over", "if kept then\n    local over", kept},
		{"what leaves the window leaves the archive", "if not call('ZSCORE', owed, start) then", "if true then", kept},
	} {
		t.Run(m.name, func(t *testing.T) {
			found := 0
			for _, s := range allScripts {
				was := *s
				if strings.Contains(s.Text, m.old) {
					found++
					*s = *durable.NewScript(strings.ReplaceAll(s.Text, m.old, m.new))
				}
				defer func() { *s = was }()
			}
			if found == 0 {
				t.Fatalf("no script has %q", m.old)
			}
			rules := m.rules
			rules.Route, rules.MaxBoards, rules.Repeats, rules.Submitted = m.name, 1, time.Minute, true
			length := 700 * time.Millisecond
			rules.Window.Bucket = 50 * time.Millisecond
			if rules.Window.Span == leaderboard.Rolling {
				rules.Window.Length = 200 * time.Millisecond
			} else if rules.Window.Span == leaderboard.Day {
				length = 1500 * time.Millisecond
				rules.Window.Location = dayEnds(length / 8)
			}
			for tries := range uint64(4) {
				rules.Route = m.name + string(rune('0'+tries))
				if err := play(t, []*Records{r}, &rules, tries, length); err != nil {
					t.Logf("%.300v", err)
					return
				}
			}
			t.Error("the model agrees with the rule switched off")
		})
	}
}
