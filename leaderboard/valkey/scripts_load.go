package valkey

import durable "cacheproxy/durable/valkey"

// loadScript merges a part of a bucket into the records. A repetition changes nothing. For the same bucket and player
// the better or the later score stays; a submission that stands for itself is there once.
//
// For sums, each player has a part for every bucket, by the start of the bucket. In windows that do not roll, the
// oldest two of more than 32 parts become one, which then stands for all buckets from its start to its stamp.
//
// ARGV after A: start and end of the bucket, 1 if the archive has the bucket, and player, z and stamp of each member.
// Reply: OK; TIME as in submitScript
var loadScript = durable.NewScript(prelude, rotation, adding, `
if elsewhere(1) then return {'TIME', text(now)} end
local start, ends, owes = ARGV[A + 1], tonumber(ARGV[A + 2]), archived and ARGV[A + 3] ~= '1'
local from = tonumber(start)
last = math.max(us, last + 1)
call('HSET', m, 't', text(last), 'v', text(last))
if not born then
  born = last
  call('HSET', m, 'c', text(last), 'g', '', 'u', ARGV[14], 'l', ARGV[6])
end
local gone = rolling and ends + W <= now or span == 'period' and (from < ps or from >= pe)
if gone and not owes then return {'OK'} end
if not gone and span ~= 'all' then
  local leaves = rolling and ends + W or pe
  if not due or leaves < due then due = leaves end
  if kept and rolling then due = 0 call('HSET', m, 'd', '1') end
  call('HSET', m, 'n', text(due))
end
if kept and rolling and not gone then call('ZADD', bs, text(ends), start) end
if owes then call('ZADD', owed, text(ends), start) end
local key, mine = b .. 'b:' .. start, b .. 'h:' .. start
local waits = call('ZSCORE', owed, start)
local there = {}
if not waits and kept and rolling then
  for i, v in ipairs(call('ZRANGE', key, 0, -1, 'WITHSCORES')) do
    if i % 2 == 1 then there[0] = v else there[nameOf(there[0])] = part(tonumber(v), stampOf(there[0])) end
  end
end
local function better(z, s, oz, os)
  if not os then return true end
  if agg == 'best' then return z < oz or z == oz and s < os end
  return s > os
end
local function collect(name, z, s)
  local f
  if agg == 'every' then
    call('ZADD', key, num(z), member(name, s))
    return
  end
  if waits then f = call('HGET', mine, name) else f = there[name] end
  local oz, os
  if f then oz, os = unpack_('>dI8', f) end
  if not better(z, s, oz, os) then return end
  if os then call('ZREM', key, member(name, os)) end
  call('ZADD', key, num(z), member(name, s))
  if waits then call('HSET', mine, name, part(z, s)) else there[name] = part(z, s) end
end
local function merge(f, z, s)
  local parts, at = {}, agg == 'sum' and 17 or 1
  local add = {z, s, from}
  while at < #f do
    local p = {unpack_(agg == 'sum' and '>dI8I8' or '>dI8', f, at)}
    at = at + size
    if agg == 'sum' then
      local covers = p[3] <= from and from <= p[2] and not rolling or from == 0 and p[3] < ends
      if p[3] == from then
        if p[2] >= s then return nil end
        p[1], p[2], add = z, s, nil
      elseif covers then
        return nil
      end
    end
    parts[#parts + 1] = p
  end
  if add then parts[#parts + 1] = add end
  table.sort(parts, function(a, c) return a[2] < c[2] end)
  local stay, total, weight = {}, 0, 0
  for _, p in ipairs(parts) do
    total, weight = total + p[1], weight + math.abs(p[1])
    local skip = false
    if agg == 'best' then
      while stay[1] and stay[#stay][1] > p[1] do stay[#stay] = nil end
      local before = stay[#stay]
      skip = before and startOf(before[2]) == startOf(p[2])
    end
    if not skip then stay[#stay + 1] = p end
  end
  local texts = {}
  if agg == 'sum' then texts[1] = pack('>dd', total, weight) end
  for _, p in ipairs(stay) do
    if agg == 'sum' then
      texts[#texts + 1] = pack('>dI8I8', p[1], p[2], p[3])
    else
      texts[#texts + 1] = part(p[1], p[2])
    end
  end
  return table.concat(texts), stay[1][2]
end
for i = A + 4, #ARGV, 3 do
  local name, z, s = ARGV[i], tonumber(ARGV[i + 1]), tonumber(ARGV[i + 2])
  if owes or kept and rolling then collect(name, z, s) end
  if gone or kept and rolling then
    -- the ranking is made of buckets
  elseif agg == 'every' then
    call('ZADD', r, num(z), member(name, s))
    call('ZADD', y, '0', own(name, z, s))
    if kept then trim() elseif rolling then call('ZADD', x, text(s), member(name, s)) end
  else
    local f = call('HGET', e, name)
    local oz, os = standing(f)
    local new, first = nil, s
    if agg == 'sum' or agg == 'best' and rolling then
      new, first = merge(f or '', z, s)
    elseif better(z, s, oz, os) then
      new = part(z, s)
    end
    if new then
      call('HSET', e, name, new)
      if rolling then call('ZADD', x, text(first), name) end
      local nz, ns = standing(new)
      setRank(name, oz, os, nz, ns)
      if kept then trim() end
    end
  end
end
if kept and rolling and not waits then call('ZREMRANGEBYRANK', key, K, -1) end
return {'OK'}
`)

// wholeScript records that everything of a board was loaded. Reply: OK, or NONE if the board does not exist
var wholeScript = durable.NewScript(prelude, rotation, `
if not born then return {'NONE'} end
if loaded == g then return {'OK'} end
last = math.max(us, last + 1)
call('HSET', m, 't', text(last), 'v', text(last), 'g', g)
return {'OK'}
`)

// emptyScript says whether the records have to be loaded. If there are none, the script begins an incarnation. ARGV:
// base, name for the incarnation
var emptyScript = durable.NewScript(routePrelude, `
local s = redis.call('HMGET', b .. 's', 'g', 'p')
if not s[1] then
  redis.call('HSET', b .. 's', 'g', ARGV[2], 'p', '1')
  return {ARGV[2], '1'}
end
return {s[1], s[2] or ''}
`)

// loadingScript records that a part of a board is about to be loaded. ARGV: base, incarnation, board. Reply: OK, or
// GONE if the records were lost since
var loadingScript = durable.NewScript(routePrelude, `
if ARGV[2] ~= '' and redis.call('HGET', b .. 's', 'g') ~= ARGV[2] then return {'GONE'} end
redis.call('HSET', b .. 'b', ARGV[3], 'l' .. now)
return {'OK'}
`)

// loadedScript ends the loading. ARGV: base, incarnation, boards of which the archive had nothing. Reply as for
// loadingScript
var loadedScript = durable.NewScript(routePrelude, `
if redis.call('HGET', b .. 's', 'g') ~= ARGV[2] then return {'GONE'} end
redis.call('HDEL', b .. 's', 'p')
for i = 3, #ARGV do redis.call('HSET', b .. 'b', ARGV[i], 'r' .. now) end
return {'OK'}
`)
