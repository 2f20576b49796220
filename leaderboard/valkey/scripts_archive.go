package valkey

// owedScript lists buckets that the archive does not have, those that end first before the others. It writes down the board's clock where it
// says that a bucket is closed: nothing is added to that one then, whatever the server's clock does.
//
// ARGV after those of the prelude: most of them. Reply: OK, the board's clock, and start and end of each; AGAIN as submitScript's
var owedScript = newScript(prelude, rotation, `
if not born then return {'OK', text(now)} end
if not rotate() then return {'AGAIN'} end
local all = call('ZRANGE', owed, 0, tonumber(ARGV[14]) - 1, 'WITHSCORES')
local reply = {'OK', text(now)}
for i = 1, #all, 2 do
  local ends = tonumber(all[i + 1])
  if ends <= now and last < ends then
    last = now
    call('HSET', m, 't', text(now))
  end
  reply[#reply + 1] = all[i]
  reply[#reply + 1] = text(ends)
end
return reply
`)

// archivedScript gives up what the archive has: a bucket that is closed, and holds as many as the archive has taken. What the ranking is made
// of stays for as long as the window needs it, cut to the ranks that are kept.
//
// ARGV after those of the prelude: start, count. Reply: CUT, or KEPT
var archivedScript = newScript(prelude, rotation, `
local start = ARGV[14]
local ends = tonumber(call('ZSCORE', owed, start) or '')
if not ends then return {'CUT'} end
local key = b .. 'b:' .. start
if now < ends or call('ZCARD', key) ~= tonumber(ARGV[15]) then return {'KEPT'} end
call('HSET', m, 't', text(now))
call('ZREM', owed, start)
if call('ZSCORE', bs, start) then
  call('ZREMRANGEBYRANK', key, K, -1)
  call('UNLINK', b .. 'h:' .. start)
else
  discard(start)
end
return {'CUT'}
`)

// loadScript puts what the archive has of a bucket back, once or more often, unless the board is whole. What it makes of the ranking is shown
// once wholeScript has run.
//
// ARGV after those of the prelude: start and end of the bucket, and player, z and stamp of each. Reply: OK, WHOLE, TIME as submitScript's
var loadScript = newScript(prelude, rotation, adding, `
if born and loaded == g then return {'WHOLE'} end
if span == 'period' and (now < ps or now >= pe) then return {'TIME', text(now)} end
local start, ends = ARGV[14], tonumber(ARGV[15])
last = math.max(us, last + 1)
call('HSET', m, 't', text(last))
if not born then
  born = last
  call('HSET', m, 'c', text(last), 'g', '')
end
if rolling and ends + W <= now or span == 'period' and (tonumber(start) < ps or tonumber(start) >= pe) then return {'OK'} end
local leaves = rolling and ends + W or pe
if span ~= 'all' and (not due or leaves < due) then call('HSET', m, 'n', text(leaves)) end
if kept and rolling then call('ZADD', bs, text(ends), start) end
local function insert(f, z, s)
  local parts = {{z, s}}
  local at = agg == 'sum' and 17 or 1
  while at < #f do
    local pz, p = unpack_('>dI8', f, at)
    parts[#parts + 1], at = {pz, p}, at + 16
  end
  table.sort(parts, function(a, c) return a[2] < c[2] end)
  local kept, total, weight = {}, 0, 0
  for i, p in ipairs(parts) do
    total, weight = total + p[1], weight + math.abs(p[1])
    local skip = false
    if agg == 'best' then
      while kept[1] and kept[#kept][1] > p[1] do kept[#kept] = nil end
      local before = kept[#kept]
      skip = before and startOf(before[2]) == startOf(p[2])
    end
    if not skip then kept[#kept + 1] = p end
  end
  local texts = {}
  if agg == 'sum' then texts[1] = pack('>dd', total, weight) end
  for i, p in ipairs(kept) do texts[#texts + 1] = part(p[1], p[2]) end
  return table.concat(texts), kept[1][2]
end
for i = 16, #ARGV, 3 do
  local name, z, s = ARGV[i], tonumber(ARGV[i + 1]), tonumber(ARGV[i + 2])
  local f = agg ~= 'every' and call('HGET', e, name)
  local oz, os = standing(f)
  if kept and rolling then
    call('ZADD', b .. 'b:' .. start, num(z), member(name, s))
  elseif agg == 'every' then
    call('ZADD', r, num(z), member(name, s))
    call('ZADD', y, '0', own(name, z, s))
    if kept then trim() elseif rolling then call('ZADD', x, text(s), member(name, s)) end
  elseif agg == 'last' then
    if not os or os < s then
      call('HSET', e, name, part(z, s))
      if rolling then call('ZADD', x, text(s), name) end
      setRank(name, oz, os, z, s)
    end
  elseif agg == 'best' and not rolling then
    if not oz or z < oz or z == oz and s < os then
      call('HSET', e, name, part(z, s))
      setRank(name, oz, os, z, s)
      if kept then trim() end
    end
  elseif agg == 'sum' and call('SADD', b .. 'd', start .. ' ' .. name) == 0 then
    z = 0 -- it is there already
  elseif rolling then
    local first
    f, first = insert(f or '', z, s)
    call('HSET', e, name, f)
    call('ZADD', x, text(first), name)
    local nz, ns = standing(f)
    setRank(name, oz, os, nz, ns)
  else
    local total = z + (oz or 0)
    s = math.max(s, os or 0)
    call('HSET', e, name, pack('>dd', total, math.abs(total)) .. part(total, s))
    setRank(name, oz, os, total, s)
  end
end
if kept and rolling then call('ZREMRANGEBYRANK', b .. 'b:' .. start, K, -1) end
return {'OK'}
`)

// wholeScript says that all of a board has been put back. Reply: OK, or NONE where there is no such board
var wholeScript = newScript(prelude, rotation, `
if not born then return {'NONE'} end
if loaded == g then return {'OK'} end
last = math.max(us, last + 1)
call('HSET', m, 't', text(last), 'v', text(last), 'g', g)
call('UNLINK', b .. 'd')
if kept and rolling then rebuild() end
return {'OK'}
`)

// emptyScript says whether the records are to be read back. Where there are none, it begins an incarnation. ARGV: base, name of one
var emptyScript = newScript(routePrelude, `
local s = redis.call('HMGET', b .. 's', 'g', 'p')
if not s[1] then
  redis.call('HSET', b .. 's', 'g', ARGV[2], 'p', '1')
  return {ARGV[2], '1'}
end
return {s[1], s[2] or ''}
`)

// loadingScript notes that something of a board is about to be put back. ARGV: base, incarnation, board. Reply: OK, or GONE where the records
// were lost since
var loadingScript = newScript(routePrelude, `
if redis.call('HGET', b .. 's', 'g') ~= ARGV[2] then return {'GONE'} end
redis.call('HSET', b .. 'b', ARGV[3], 'l' .. now)
return {'OK'}
`)

// loadedScript ends the reading back. ARGV: base, incarnation, boards of which the archive had nothing. Reply as loadingScript's
var loadedScript = newScript(routePrelude, `
if redis.call('HGET', b .. 's', 'g') ~= ARGV[2] then return {'GONE'} end
redis.call('HDEL', b .. 's', 'p')
for i = 3, #ARGV do redis.call('HSET', b .. 'b', ARGV[i], 'r' .. now) end
return {'OK'}
`)
