package valkey

import (
	"context"
	"strconv"

	durable "cacheproxy/durable/valkey"

	"github.com/valkey-io/valkey-go"
)

// keys are the keys of the log on the server. The prefix is their hash tag, so that in a cluster all keys are in one
// slot, as scripts need them to be. No key has a lifetime: the server must not evict keys without a lifetime.
type keys struct {
	// meta is a hash with these fields:
	//
	//	h     history
	//	p     the history that the log's first instance had followed
	//	s     last seq
	//	f     floor
	//	r     retention in ms
	//	l     longest lease in ms
	//	k     run_id of the server that kept the log last
	//	b     when the log began; only earlier versions read this field
	//	n     last seq and nonce of its entry, with a colon between; outdated if an earlier version has appended since
	//	c     how many instances are on the list
	//	e     edition of the list
	//	a     last seq, numbers of marks, soft marks, fences, notices and signatures, with colons between; outdated as n
	meta    string
	log     string // stream: id "<seq>-0", n nonce, e record, m its signature if any, p nonce of the entry before
	hard    string // sorted set: member → seq of the member's last invalidation
	soft    string // the same for soft invalidations
	fences  string // hash: number → record of the fence's beginning
	notices string // hash: subject → record
	live    string // hash: instance → "<beat>:<applied>:<1 if it owes entries>"
	leases  string // hash: instance → "<lease in ms>:<held for, in ms>:<term of the holding>"
	clock   string // sorted set: seq → server time in seconds, at long intervals
	terms   string // list: the latest terms, "<first eight digits of the server's run_id> <start>"
	// signed is a hash: key and field of a record in fences or notices, with a space between → nonce and signature.
	// signed is a key of its own, since versions that know nothing of signatures read every value in fences and
	// notices as a record.
	signed string
	vouch  string // hash: instance → signature of its values in live and leases, if it has a secret
	// entries is the channel on which all instances hear appended entries. acks begins the names of the channels on
	// which writers hear which instances have applied their entries. A cluster passes these messages to all its
	// nodes. The names include the number of the database, since channels belong to no database.
	entries, acks string
}

// acksTo returns the channel on which an instance hears who has applied its entries.
func (k keys) acksTo(instance string) string { return k.acks + instance }

func keysOf(prefix string, database int) keys {
	channel := func(name string) string { return prefix + ":" + name + ":" + strconv.Itoa(database) }
	k := func(name string) string { return "{" + prefix + "}:" + name }
	return keys{k("meta"), k("log"), k("hard"), k("soft"), k("fences"), k("notices"), k("live"), k("leases"), k("clock"), k("terms"), k("signed"), k("vouch"), channel("entries"), channel("applied") + ":"}
}

// commander is a client, or one connection of a client.
type commander interface {
	B() valkey.Builder
	Do(ctx context.Context, cmd valkey.Completed) valkey.ValkeyResult
	DoMulti(ctx context.Context, cmds ...valkey.Completed) []valkey.ValkeyResult
}

// legible reports whether meta names a history and a last seq. A meta that somebody has damaged counts as no log, and
// another log begins. A number of more than 15 digits is not legible, since the server does not count so high
// exactly.
const legible = `
local function number(s) return string.match(s or '', '^%d+$') and #s <= 15 end
local function legible(m)
  return string.match(m[1] or '', '^%x+$') and #m[1] == 32 and number(m[2])
end
`

// amiss returns the reason why a log cannot go on: nil where the log is whole, 'gone' where the stream was lost, and
// otherwise the key or the id that holds something that no instance writes.
//
// A log is whole if three conditions hold. The last item of the stream stands at the position of the log, since the
// stream refuses every entry that is not beyond its last item. Each item is an entry, with a position of its own, a
// nonce and a record (strange). There are as many items as positions from the first to the last. The number of items
// shows items that were put between entries or taken out, whatever was appended since: appendScript looks at no item.
// amiss looks at the first and the last item; others are looked at when they are read. appendScript finds a last id
// that somebody has moved, by an item that was removed again or by setting the id. Where the ACL does not allow XLEN,
// the items are not counted. For a whole log amiss also returns the nonce of the last item.
const amiss = legible + `
local function entry(e)
  local f = e[2]
  for i = 5, #f, 2 do
    if f[i] == 'n' or f[i] == 'e' then return false end
  end
  return string.match(e[1], '^%d+%-0$') and f[1] == 'n' and string.match(f[2], '^%x+$') and #f[2] <= 16 and f[3] == 'e'
end
local function strange(items)
  for _, e in ipairs(items) do
    if not entry(e) then return e[1] end
  end
end
local function foreign(reply)
  return type(reply) == 'table' and reply.err and string.find(reply.err, 'WRONGTYPE', 1, true)
end
local function amiss(log, s)
  local items = redis.pcall('XREVRANGE', log, '+', '-', 'COUNT', 1)
  if foreign(items) then return log end
  if items.err then redis.call('XREVRANGE', log, '+', '-', 'COUNT', 1) end -- ends the script with the same error
  local tip = items[1]
  if not tip and s ~= '0' then return 'gone' end
  if not tip then return nil, '0' end
  if tip[1] ~= s .. '-0' then return tip[1] end
  local first = redis.call('XRANGE', log, '-', '+', 'COUNT', 1)
  local wrong, n = strange(items) or strange(first), redis.pcall('XLEN', log)
  if not wrong and type(n) == 'number' and n ~= tonumber(s) - tonumber(string.match(first[1][1], '^%d+')) + 1 then wrong = log end
  return wrong, tip[2][2]
end
local function named(terms)
  for _, t in ipairs(terms) do
    if not string.match(t, '^%x%x%x%x%x%x%x%x %d+$') or #t > 24 then return false end
  end
  return true
end
`

// guard is the head of scripts: it checks first that the log is the one that is meant. KEYS[1] is meta, ARGV[1] the
// history. Other fields of meta that cannot be read count as 0.
const guard = amiss + `
local m = redis.call('HMGET', KEYS[1], 'h', 's', 'f', 'r', 'k', 'l', 'n')
if not legible(m) then return {'NOHIST'} end
if m[1] ~= ARGV[1] then return {'HIST'} end
for _, i in ipairs({3, 4, 6}) do
  if not number(m[i]) then m[i] = '0' end
end
`

// termed begins a term where another server kept the log before, or an earlier process of this server. KEYS[2] is the
// list of terms. Where the ACL does not allow INFO, no term begins, and the reply names no server.
const termed = `
local function life()
  local who = redis.pcall('INFO', 'server')
  return type(who) == 'string' and string.match(who, 'run_id:(%w+)') or ''
end
local function begin(run)
  if run ~= '' and run ~= m[5] then
    redis.call('HSET', KEYS[1], 'k', run)
    redis.call('RPUSH', KEYS[2], string.sub(run, 1, 8) .. ' ' .. m[2])
    redis.call('LTRIM', KEYS[2], -64, -1)
  end
end
`

// listed returns the names on the list of instances, and the edition of the list. The edition changes after somebody
// who runs no script of this package has taken instances off or put them on: then the number of instances differs
// from the number that the scripts have counted. Earlier versions do not count. KEYS[1] is meta.
const listed = `
local function listed(live)
  local names, m = redis.call('HKEYS', live), redis.call('HMGET', KEYS[1], 'c', 'e')
  if m[1] == tostring(#names) and m[2] and #m[2] <= 32 then return names, m[2] end
  local now = redis.call('TIME')
  local edition = now[1] .. '.' .. now[2]
  redis.call('HSET', KEYS[1], 'c', #names, 'e', edition)
  return names, edition
end
`

// lost returns the key of marks, fences, notices or their signatures that holds more or fewer items than scripts have
// put there, if any. An instance that starts would never learn of missing items. After an append by an earlier
// version, which does not count, lost counts anew.
const lost = `
local function lost(s, keys)
  local have, said = {s}, redis.call('HGET', KEYS[1], 'a') or ''
  for i, k in ipairs(keys) do
    have[i + 1] = i < 3 and redis.call('ZCARD', k) or #redis.call('HKEYS', k)
  end
  local counted = table.concat(have, ':')
  if said == counted then return nil end
  local i = 0
  for n in string.gmatch(said, '[^:]+') do
    i = i + 1
    if i == 1 and n ~= s then break end
    if n ~= tostring(have[i]) then return keys[i - 1] end
  end
  redis.call('HSET', KEYS[1], 'a', counted)
end
`

// amounts parses the counts in field a of meta; add and sum change and write them for appendScript and tidyScript.
// Counts that do not parse stay as they are, and lost counts anew.
const amounts = `
local function amounts(a)
  local s, hard, soft, fences, notices, signed = string.match(a or '', '^(%d+):(%d+):(%d+):(%d+):(%d+):(%d+)$')
  if not s or #a > 96 then return nil end
  return {s = s, hard = tonumber(hard), soft = tonumber(soft), fences = tonumber(fences), notices = tonumber(notices), signed = tonumber(signed)}
end
local function add(n, key, more)
  local name = string.match(key, ':(%l+)$')
  if n and n[name] then n[name] = n[name] + more end
end
local function sum(n, s) return table.concat({s, n.hard, n.soft, n.fences, n.notices, n.signed}, ':') end
`

// createScript begins a history where the server has none, or where the present log is damaged. The same step deletes
// the rest of the other log: the position is counted anew, and the stream would refuse entries whose numbers it has
// had. The longest lease stays, since instances may hold leases from before. The new log does not name a log that
// somebody has damaged as the one before, since the extent of the damage is not known: each instance that comes over
// has everything confirmed (fleet R17). The script returns the history in force, and the damage. ARGV: the history
// that begins, the history that the caller has followed, the id of an item that may be no entry.
var createScript = durable.NewScript(amiss + lost + `
local reads = {
  hash = function(k) return redis.pcall('HEXISTS', k, '') end, zset = function(k) return redis.pcall('ZCARD', k) end,
  list = function(k) return redis.pcall('LRANGE', k, 0, 0) end, stream = function(k) return redis.pcall('XRANGE', k, '+', '-') end
}
local types, why, m = {'hash', 'stream', 'zset', 'zset', 'hash', 'hash', 'hash', 'hash', 'zset', 'list', 'hash', 'hash'}, '', {}
for i, k in ipairs(KEYS) do
  if foreign(reads[types[i]](k)) then why = k end
end
if why == '' then
  m = redis.call('HMGET', KEYS[1], 'h', 's', 'l')
  if legible(m) then
    local items = {}
    if string.match(ARGV[3], '^%d+%-%d+$') then items = redis.call('XRANGE', KEYS[2], ARGV[3], ARGV[3]) end
    why = amiss(KEYS[2], m[2]) or strange(items) or ''
    if not named(redis.call('LRANGE', KEYS[10], 0, -1)) then why = KEYS[10] end
    if why == '' then why = lost(m[2], {KEYS[3], KEYS[4], KEYS[5], KEYS[6], KEYS[11]}) or '' end
    if why == '' then return {m[1], ''} end
  elseif m[1] or m[2] then why = KEYS[1] end
end
redis.call('DEL', unpack(KEYS))
local previous = ARGV[2]
if why ~= '' and why ~= 'gone' then previous = '' end
redis.call('HSET', KEYS[1], 'h', ARGV[1], 'p', previous, 's', '0', 'f', '0', 'b', redis.call('TIME')[1], 'c', '0', 'e', ARGV[1], 'a', '0:0:0:0:0:0')
if number(m[3]) then redis.call('HSET', KEYS[1], 'l', m[3]) end
return {ARGV[1], why}
`)

// syncScript is the heartbeat: it acknowledges the entries that the caller has applied, returns new entries, and
// returns the live instances. The script writes, so that a server which was demoted, or has lost its replicas,
// refuses to run it.
//
// An instance that waits for others sends heartbeats often. Such a heartbeat does not check the log for damage where
// the position is as the log's last entry has left it: the next regular heartbeat checks.
//
// ARGV: history, instance, beat, applied, nonce of the entry at applied, count, retention in ms, term, 1 if the
// instance owes entries, lease in ms, for how long it has held a lease in ms, signature of the heartbeat or nothing,
// 1 if it waits, the edition of the list that it knows (with another edition, held counts as 0), the longest lease in
// ms that any instance may hold, as far as it has heard. The leases and the signatures have hashes of their own,
// since versions that do not know them compare the value in live as a whole.
var syncScript = durable.NewScript(guard + termed + listed + lost + `
local wrong
local there = m[7] == ARGV[4] .. ':' .. ARGV[5]
if ARGV[13] ~= '1' or not there or ARGV[4] ~= m[2] then
  wrong = amiss(KEYS[3], m[2]) or lost(m[2], {unpack(KEYS, 7, 11)})
end
if wrong then return {'AMISS', wrong} end
local run = life()
begin(run)
local who = run ~= '' and 'run_id:' .. run or ''
local a, s = tonumber(ARGV[4]), tonumber(m[2])
if a > s then return {'DIVERGED', who} end
if a > 0 and not (there and a == s) then
  local id = ARGV[4] .. '-0'
  local e = redis.call('XRANGE', KEYS[3], id, id)
  if #e == 0 then return {'GAP', who} end
  if e[1][2][2] ~= ARGV[5] then return {'DIVERGED', who} end
end
if tonumber(ARGV[7]) > tonumber(m[4]) then redis.call('HSET', KEYS[1], 'r', ARGV[7]) end
local names, edition = listed(KEYS[4])
if redis.call('HSET', KEYS[4], ARGV[2], ARGV[3] .. ':' .. ARGV[4] .. ':' .. ARGV[9]) == 1 then
  redis.call('HSET', KEYS[1], 'c', #names + 1)
end
local held = ARGV[14] == edition and ARGV[11] or '0'
redis.call('HSET', KEYS[5], ARGV[2], ARGV[10] .. ':' .. held .. ':' .. ARGV[8])
if ARGV[12] ~= '' then redis.call('HSET', KEYS[6], ARGV[2], ARGV[12]) end
for i = 10, 15, 5 do
  if tonumber(ARGV[i]) > tonumber(m[6]) then
    redis.call('HSET', KEYS[1], 'l', ARGV[i])
    m[6] = ARGV[i]
  end
end
local terms = {}
if run ~= '' and string.sub(run, 1, 8) ~= ARGV[8] then terms = redis.call('LRANGE', KEYS[2], 0, -1) end
if not named(terms) then return {'AMISS', KEYS[2]} end
local fresh = {}
if a < s then fresh = redis.call('XRANGE', KEYS[3], '(' .. ARGV[4] .. '-0', '+', 'COUNT', ARGV[6]) end
wrong = strange(fresh)
if wrong then return {'AMISS', wrong} end
return {'OK', who, terms, m[2], m[3], fresh, redis.call('HGETALL', KEYS[4]), m[6], redis.call('HGETALL', KEYS[5]), redis.call('HGETALL', KEYS[6]), edition}
`)

// whoScript returns INFO of the server that a connection leads to, which names the life of the server's process.
var whoScript = durable.NewScript(`return redis.call('INFO', 'server')`)

// appendScript appends entries, publishes them to all instances, and returns the names on the list and the edition of
// the list. Where the stream refuses an entry, somebody has moved the stream's last id. Then the script deletes the
// position of the log, so that the log counts as none, and another log begins. The nonce stays the first field of an
// entry: scripts find it by its place. Beside an entry stands the nonce of the entry before (fleet R19).
//
// The server runs this script for each write. So the script does no more than it must where meta is as an instance of
// this version has left it, in the term of the server that the caller names. Then the nonce before is in meta, and
// the stream itself says whether it exists and accepts the position. Otherwise the script checks everything. A caller
// that names the life of the server, which it knows from its connection, spares the server that check.
//
// KEYS: meta, terms, log, the list, then the keys that entries name by their place among KEYS.
//
// ARGV: history, life of the server or nothing, channel, message about the entries, 1 if somebody waits for the
// instances on the list. Then for each entry: its nonce, the set of marks that its members go to, operation, record,
// signature or nothing, number of members, members. Where the operation is not 'mark', these follow: the key that the
// record is kept in, the key that the signatures of such records are kept in, number of the fence or subject of the
// notice, signature to keep or nothing.
var appendScript = durable.NewScript(listed + amounts + `
local m = redis.call('HMGET', KEYS[1], 'h', 's', 'f', 'k', 'n', 'a')
local at, before = string.match(m[5] or '', '^(%d+):(%x+)$')
local run, empty, there = ARGV[2], false, amounts(m[6])
if m[1] ~= ARGV[1] or m[4] ~= run or at ~= m[2] or #at > 15 or #before > 16 then
  local look = function()
` + guard + termed + `
    local wrong
    wrong, before = amiss(KEYS[3], m[2])
    if wrong then return {'AMISS', wrong} end
    if run == '' then run = life() end
    begin(run)
    at = m[2]
    empty = at == '0'
  end
  local wrong = look()
  if wrong then return wrong end
end
local s, last, i, full, q = tonumber(at), before, 6, {}
local first = string.format('%.0f', s + 1)
while ARGV[i] do
  local nonce, set, op, signature, n = ARGV[i], KEYS[tonumber(ARGV[i + 1])], ARGV[i + 2], ARGV[i + 4], tonumber(ARGV[i + 5])
  local record = ARGV[i + 3]
  s = s + 1
  if q then q = string.format('%.0f', s) else q = first end
  i = i + 6
  for from = i, i + n - 1, 1000 do
    local marks, k = {}, 0
    for j = from, math.min(from + 999, i + n - 1) do
      marks[k + 1], marks[k + 2] = q, ARGV[j]
      k = k + 2
    end
    add(there, set, redis.call('ZADD', set, unpack(marks)))
  end
  full[set] = true
  i = i + n
  local item = {KEYS[3], 'NOMKSTREAM', 'MAXLEN', '~', '` + strconv.Itoa(maxLog) + `', q .. '-0', 'n', nonce, 'e', record, 'p', last}
  if signature ~= '' then item[13], item[14] = 'm', signature end
  if empty then table.remove(item, 2) end
  local added = redis.pcall('XADD', unpack(item))
  if not added then
    redis.call('HDEL', KEYS[1], 'n') -- so that the next heartbeat looks
    return {'AMISS', 'gone'}
  end
  if type(added) == 'table' and added.err then
    if not string.find(added.err, 'equal or smaller', 1, true) then return added end
    redis.call('HDEL', KEYS[1], 's')
    return {'AMISS', KEYS[3]}
  end
  last = nonce
  if op ~= 'mark' then
    local beside, signed, name, keep = KEYS[tonumber(ARGV[i])], KEYS[tonumber(ARGV[i + 1])], ARGV[i + 2], ARGV[i + 3]
    i = i + 4
    if op == 'begin' or op == 'announce' then add(there, beside, redis.call('HSET', beside, name, record))
    else add(there, beside, -redis.call('HDEL', beside, name)) end
    if keep ~= '' then add(there, signed, redis.call('HSET', signed, beside .. ' ' .. name, keep))
    else add(there, signed, -redis.call('HDEL', signed, beside .. ' ' .. name)) end
  end
end
local counted = there and there.s == at
redis.call('HSET', KEYS[1], 's', q, 'n', q .. ':' .. last)
if math.floor(s / 64) ~= math.floor(tonumber(at) / 64) then -- how many marks there are need not be counted each time
  for set in pairs(full) do
    local over = redis.call('ZCARD', set) - ` + strconv.Itoa(maxMarks) + `
    if over > 0 then
      local cut = redis.call('ZRANGE', set, over - 1, over - 1, 'WITHSCORES')
      add(there, set, -redis.call('ZREMRANGEBYRANK', set, 0, over - 1))
      local floor = string.match(m[3] or '', '^%d+$') and #m[3] <= 15 and tonumber(m[3]) or 0
      if tonumber(cut[2]) > floor then redis.call('HSET', KEYS[1], 'f', cut[2]); m[3] = cut[2] end
    end
  end
end
if counted then redis.call('HSET', KEYS[1], 'a', sum(there, q)) end
redis.pcall('PUBLISH', ARGV[3], first .. ' ' .. before .. ' ' .. ARGV[4])
local names, edition = {}, ''
if ARGV[5] == '1' then names, edition = listed(KEYS[4]) end
return {'OK', first, run, names, edition}
`)

// snapshotScript reads the small parts of a snapshot in one step.
var snapshotScript = durable.NewScript(amiss + lost + `
local m = redis.call('HMGET', KEYS[1], 'h', 's', 'f', 'p')
if not legible(m) then return {'NOHIST'} end
local wrong = amiss(KEYS[2], m[2]) or lost(m[2], {KEYS[6], KEYS[7], KEYS[3], KEYS[4], KEYS[5]})
if wrong then return {'AMISS', wrong} end
local nonce = ''
if m[2] ~= '0' then nonce = redis.call('XREVRANGE', KEYS[2], '+', '-', 'COUNT', 1)[1][2][2] end
return {'OK', m[1], m[2], nonce, number(m[3]) and m[3] or '0', m[4] or '', redis.call('HGETALL', KEYS[3]), redis.call('HGETALL', KEYS[4]), redis.call('HGETALL', KEYS[5])}
`)

// reapScript takes an instance off the list unless the instance's entry there has changed since. ARGV: history,
// instance, the entry as the caller has read it
var reapScript = durable.NewScript(guard + listed + `
if redis.call('HGET', KEYS[2], ARGV[2]) == ARGV[3] then
` + strike + `
  return {'OK', '1'}
end
return {'OK', '0'}
`)

// leaveScript takes the caller off the list. ARGV: history, instance
var leaveScript = durable.NewScript(guard + listed + `
if redis.call('HEXISTS', KEYS[2], ARGV[2]) == 1 then
` + strike + `
end
return {'OK'}
`)

// strike takes an instance off the list that is on the list, and counts the list in meta anew.
const strike = `
  redis.call('HSET', KEYS[1], 'c', #listed(KEYS[2]) - 1)
  for i = 2, 4 do redis.call('HDEL', KEYS[i], ARGV[2]) end
`

// tidyScript forgets marks that can concern no copy any more: marks older than the longest lifetime in force. The
// script dates positions by the server's clock. The script also forgets the leases of instances that are not live.
// ARGV: history, further time to keep marks in ms, most marks to remove at once, the longest lease in ms as the
// caller has read it, and the longest lease of the instances that are left. The script returns how many marks are
// left to remove.
var tidyScript = durable.NewScript(guard + amounts + `
local there = amounts(redis.call('HGET', KEYS[1], 'a'))
if m[6] == ARGV[4] and ARGV[5] ~= ARGV[4] then redis.call('HSET', KEYS[1], 'l', ARGV[5]) end
for i = 6, 7 do
  for _, name in ipairs(redis.call('HKEYS', KEYS[i])) do
    if redis.call('HEXISTS', KEYS[5], name) == 0 then redis.call('HDEL', KEYS[i], name) end
  end
end
local now = tonumber(redis.call('TIME')[1])
local keep = math.ceil((tonumber(m[4]) + tonumber(ARGV[2])) / 1000)
local last = redis.call('ZRANGE', KEYS[4], -1, -1, 'WITHSCORES')
if not last[1] or now - tonumber(last[2]) >= math.max(10, keep / 256) then redis.call('ZADD', KEYS[4], now, m[2]) end
local old = redis.call('ZREVRANGEBYSCORE', KEYS[4], now - keep, '-inf', 'LIMIT', 0, 1)
if not old[1] then return {'OK', '0'} end
local left = 0
for i = 2, 3 do
  local n = redis.call('ZCOUNT', KEYS[i], '-inf', old[1])
  if n > 0 then add(there, KEYS[i], -redis.call('ZREMRANGEBYRANK', KEYS[i], 0, math.min(n, tonumber(ARGV[3])) - 1)) end
  left = left + math.max(0, n - tonumber(ARGV[3]))
end
if there then redis.call('HSET', KEYS[1], 'a', sum(there, there.s)) end
redis.call('ZREMRANGEBYSCORE', KEYS[4], '-inf', '(' .. (now - keep - keep / 128 - 20))
return {'OK', tostring(left)}
`)
