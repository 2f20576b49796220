package valkey

// prelude begins every script of a board.
//
// A stamp is a time in microseconds that identifies a submission of a board. The stamp is the server's clock, but
// always later than all stamps before. So a clock that is set back neither repeats a stamp nor adds to a bucket that
// was closed. now is the board's clock: the later of the server's clock and the last stamp.
//
// z is the value by which the sorted sets order, least first: the score if the lowest ranks first, otherwise the
// negated score. A member is stamp ‖ player if the earlier ranks first, and player ‖ 0 ‖ stamp if names decide. nameOf
// encodes names so that they have no bare zero byte.
//
// The server checks its memory when a script begins. If memory is short, the server refuses writes of the script that
// take memory. So that a script does everything or nothing, it writes the stamp before anything else that takes memory.
// Only removals, which make room, come earlier: entries that leave the window one by one, each removed as a whole.
//
// ARGV: base, aggregate, ties, number of places that are kept, span, length of the window, of a bucket, start and end
// of the period, 1 if archived, 1 if each submission is archived, incarnation of the route, bound for the entries that
// leave at once, signature of the rules. The arguments of the script itself follow after A.
//
// The keys of a board, each beginning with ARGV[1]:
//
//	m        hash: t last stamp, v version, n when the window slides next, d the ranking has to be rebuilt, o the bucket
//	         that is written to, w the last stamp in it, c the first stamp, g the incarnation of which the board is
//	         whole, k the mark, u the signature of the rules, l the length of the window, h the time of the last
//	         repeated submission
//	r        sorted set: the ranking
//	e        hash: player → z and stamp in the ranking, or several of them where they leave one after another
//	x        sorted set: player, or member, by the time of its oldest entry in the window, where all are kept
//	y        sorted set: every submission by player, where each stands for itself
//	l, o     sorted sets: buckets that the ranking is made of, and those that the archive lacks, by their ends
//	b:START  sorted set: members of a bucket
//	h:START  hash: player → z and stamp in the bucket, while the bucket is written to or waits for the archive
//	s        stream: submissions, where each is archived
//	i:KEY    digest of what was submitted under an idempotency key, and its receipts
const prelude = `
local b, agg, ties, K, span = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4]), ARGV[5]
local W, B, ps, pe = tonumber(ARGV[6]), tonumber(ARGV[7]), tonumber(ARGV[8]), tonumber(ARGV[9])
local archived, submitted, g, chunk = ARGV[10] == '1', ARGV[11] == '1', ARGV[12], tonumber(ARGV[13])
local A = 14
local call, fmod, pack, unpack_ = redis.call, math.fmod, struct.pack, struct.unpack
local rolling = span == 'rolling'
local kept = K > 0 and (agg == 'best' or agg == 'every')
local bucketed = archived or kept and rolling
local m, r, e, x, y, bs, owed = b .. 'm', b .. 'r', b .. 'e', b .. 'x', b .. 'y', b .. 'l', b .. 'o'
local meta = call('HMGET', m, 't', 'v', 'n', 'o', 'c', 'g', 'u', 'l', 'd')
local clock = call('TIME')
local us = tonumber(clock[1]) * 1000000 + tonumber(clock[2])
local last = tonumber(meta[1] or '0')
local now = math.max(us, last)
local version, due, open, born, loaded = meta[2] or '0', tonumber(meta[3] or ''), meta[4], tonumber(meta[5] or ''), meta[6] or ''
if born and meta[7] ~= ARGV[14] then return {'RULES'} end
local dirty = meta[9]
if born and rolling and (dirty or meta[8] ~= ARGV[6]) then due = 0 end
local function text(n) return string.format('%.0f', n) end
local function num(z) return string.format('%.17g', z) end
local function elsewhere(n) return span == 'period' and (now < ps or now + n > pe) end
local function floor(s) return s - fmod(s, B) end
local function startOf(s)
  local st = floor(s)
  if span == 'period' then st = math.max(st, ps) end
  if born and s >= born then st = math.max(st, born) end
  return st
end
local function part(z, s) return pack('>dI8', z, s) end
local size = agg == 'sum' and 24 or 16
local function member(name, s)
  if ties == 'earlier' then return pack('>I8', s) .. name end
  return name .. '\0' .. pack('>I8', s)
end
local function nameOf(mem)
  if ties == 'earlier' then return string.sub(mem, 9) end
  return string.sub(mem, 1, -10)
end
local function stampOf(mem)
  if ties == 'earlier' then return (unpack_('>I8', mem)) end
  return (unpack_('>I8', mem, #mem - 7))
end
local function own(name, z, s)
  local d = pack('>d', z + 0)
  local c = {string.byte(d, 1, 8)}
  if c[1] < 128 then
    c[1] = c[1] + 128
  else
    for i = 1, 8 do c[i] = 255 - c[i] end
  end
  return name .. '\0\1' .. string.char(c[1], c[2], c[3], c[4], c[5], c[6], c[7], c[8]) .. pack('>I8', s)
end
local function standing(f)
  if not f then return nil end
  if agg == 'sum' then
    local s = unpack_('>I8', f, #f - 15)
    return (unpack_('>d', f)), s
  end
  local z, s = unpack_('>dI8', f)
  return z, s
end
local function setRank(name, oldz, olds, z, s)
  if olds then
    if oldz == z and olds == s then return false end
    if olds ~= s then call('ZREM', r, member(name, olds)) end
  end
  if s then call('ZADD', r, num(z), member(name, s)) end
  return true
end
local function bulk(command, key, args)
  for i = 1, #args, 400 do call(command, key, unpack(args, i, math.min(i + 399, #args))) end
end
`

// rotation removes entries from the ranking that have left the window. Every script that adds or reads includes
// rotation, so that no read shows an entry for longer than the window and one bucket, whoever else rotates or does not.
// rotate returns false if a single script cannot do all of the work.
const rotation = `
local function less(a, c)
  if a.z ~= c.z then return a.z < c.z end
  if ties ~= 'earlier' then
    for i = 1, math.min(#a.name, #c.name) do
      local p, q = string.byte(a.name, i), string.byte(c.name, i)
      if p ~= q then return p < q end
    end
    if #a.name ~= #c.name then return #a.name < #c.name end
  end
  return a.s < c.s
end
local function advance(h)
  h.i = h.i + 2
  if not h.page[h.i] then
    h.at = h.at + (h.i - 1) / 2
    h.page, h.i = call('ZRANGE', h.key, h.at, 2 * h.at - 1, 'WITHSCORES'), 1 -- as many as there were
    if not h.page[1] then return false end
  end
  local mem = h.page[h.i]
  h.mem, h.score, h.z, h.s, h.name = mem, h.page[h.i + 1], tonumber(h.page[h.i + 1]), stampOf(mem), nameOf(mem)
  return true
end
local function sift(heap, i)
  while true do
    local least = i
    if heap[2 * i] and less(heap[2 * i], heap[least]) then least = 2 * i end
    if heap[2 * i + 1] and less(heap[2 * i + 1], heap[least]) then least = 2 * i + 1 end
    if least == i then return end
    heap[i], heap[least], i = heap[least], heap[i], least
  end
end
local function rebuild()
  local heap = {}
  for _, start in ipairs(call('ZRANGE', bs, 0, -1)) do
    local key = b .. 'b:' .. start
    local h = {key = key, at = 0, i = -1, page = call('ZRANGE', key, 0, 0, 'WITHSCORES')}
    if advance(h) then heap[#heap + 1] = h end
  end
  for i = math.floor(#heap / 2), 1, -1 do sift(heap, i) end
  local seen, count, ranks, entries, owns = {}, 0, {}, {}, {}
  while heap[1] and count < K do
    local h = heap[1]
    if agg == 'every' or not seen[h.name] then
      seen[h.name], count = true, count + 1
      ranks[#ranks + 1] = h.score
      ranks[#ranks + 1] = h.mem
      if agg == 'every' then
        owns[#owns + 1] = '0'
        owns[#owns + 1] = own(h.name, h.z, h.s)
      else
        entries[#entries + 1] = h.name
        entries[#entries + 1] = part(h.z, h.s)
      end
    end
    if not advance(h) then
      heap[1] = heap[#heap]
      heap[#heap] = nil
    end
    if heap[1] then sift(heap, 1) end
  end
  call('UNLINK', r, e, y)
  bulk('ZADD', r, ranks)
  bulk('HSET', e, entries)
  bulk('ZADD', y, owns)
end
local function discard(start)
  if not call('ZSCORE', owed, start) then call('UNLINK', b .. 'b:' .. start, b .. 'h:' .. start) end
end
local function drop(name, E)
  local f = call('HGET', e, name)
  if not f then
    call('ZREM', x, name)
    return
  end
  local oz, os = standing(f)
  local head, at = '', 1
  local total, weight = 0, 0
  if agg == 'sum' then
    total, weight = unpack_('>dd', f)
    at = 17
  end
  while at < #f do
    local z, s = unpack_('>dI8', f, at)
    if s >= E then break end
    total, weight, at = total - z, weight - math.abs(z), at + size
  end
  if at > #f then
    call('HDEL', e, name)
    call('ZREM', x, name)
    call('ZREM', r, member(name, os))
    return
  end
  if agg == 'sum' then head = pack('>dd', total, weight) end
  local _, first = unpack_('>dI8', f, at)
  f = head .. string.sub(f, at)
  call('HSET', e, name, f)
  call('ZADD', x, text(first), name)
  local z, s = standing(f)
  setRank(name, oz, os, z, s)
end
local function rotate()
  if not due or now < due then return true end
  last = math.max(us, last + 1)
  now = last
  version = text(last)
  local function note() call('HSET', m, 't', version, 'v', version, 'l', ARGV[6]) end
  if not rolling then
    call('UNLINK', r, e, x, y)
    note()
    call('HDEL', m, 'n')
    due = nil
    return true
  end
  local E = floor(now - W)
  if kept then
    for _, start in ipairs(call('ZRANGEBYSCORE', bs, '-inf', text(now - W))) do
      call('ZREM', bs, start)
      discard(start)
    end
    note()
    local again = dirty
    if not again then
      for _, mem in ipairs(call('ZRANGE', r, 0, -1)) do
        if stampOf(mem) < E then again = true end
      end
    end
    if again then rebuild() end
    call('HDEL', m, 'd')
    local first = call('ZRANGE', bs, 0, 0, 'WITHSCORES')
    due = first[2] and tonumber(first[2]) + W
  else
    local old = call('ZRANGEBYSCORE', x, '-inf', '(' .. text(E), 'LIMIT', 0, chunk)
    for _, key in ipairs(old) do
      if agg == 'every' then
        local z = call('ZSCORE', r, key)
        call('ZREM', x, key)
        call('ZREM', r, key)
        call('ZREM', y, own(nameOf(key), tonumber(z), stampOf(key)))
      else
        drop(key, E)
      end
    end
    note()
    if #old == chunk then return false end
    local first = call('ZRANGE', x, 0, 0, 'WITHSCORES')
    due = first[2] and floor(tonumber(first[2])) + B + W
  end
  if due then
    call('HSET', m, 'n', text(due))
  else
    call('HDEL', m, 'n')
  end
  return true
end
`

// adding adds one entry to the ranking, and to its bucket.
const adding = `
local function trim()
  local over = call('ZCARD', r) - K
  if over <= 0 then return end
  local worst = call('ZRANGE', r, -over, -1, 'WITHSCORES')
  for i = 1, #worst, 2 do
    call('ZREM', r, worst[i])
    if agg == 'every' then
      call('ZREM', y, own(nameOf(worst[i]), tonumber(worst[i + 1]), stampOf(worst[i])))
    else
      call('HDEL', e, nameOf(worst[i]))
    end
  end
end
local function beyond(key, z)
  if not kept or call('ZCARD', key) < K then return false end
  local worst = call('ZRANGE', key, -1, -1, 'WITHSCORES')
  local wz = tonumber(worst[2])
  return z > wz or z == wz and ties == 'earlier'
end
local function place(name, z, s)
  if agg == 'every' then
    if beyond(r, z) then return false end
    call('ZADD', r, num(z), member(name, s))
    call('ZADD', y, '0', own(name, z, s))
    if kept then trim() elseif rolling then call('ZADD', x, text(s), member(name, s)) end
    return true
  end
  local f = call('HGET', e, name)
  local oz, os = standing(f)
  if kept or agg == 'best' and not rolling then
    if oz and oz <= z or not oz and beyond(r, z) then return false end
    call('HSET', e, name, part(z, s))
    setRank(name, oz, os, z, s)
    if kept then trim() end
    return true
  end
  local first = not f
  f = f or ''
  if agg == 'last' then
    f = part(z, s)
  elseif agg == 'sum' then
    local total, weight, parts, start = 0, 0, '', startOf(s)
    if #f > 0 then
      total, weight = unpack_('>dd', f)
      parts = string.sub(f, 17)
    end
    total = total + z
    local mine, was = z, 0
    if #parts > 0 then
      local lz, _, l = unpack_('>dI8I8', parts, #parts - 23)
      if l == start then
        mine, was, parts = z + lz, math.abs(lz), string.sub(parts, 1, -25)
      end
    end
    weight = weight - was + math.abs(mine)
    if not rolling and #parts >= 24 * 32 then
      local az, _, first = unpack_('>dI8I8', parts)
      local cz, cs = unpack_('>dI8I8', parts, 25)
      parts = pack('>dI8I8', az + cz, cs, first) .. string.sub(parts, 49)
      weight = weight - math.abs(az) - math.abs(cz) + math.abs(az + cz)
    end
    f = pack('>dd', total, weight) .. parts .. pack('>dI8I8', mine, s, start)
  else
    while #f > 0 do
      local lz, ls = unpack_('>dI8', f, #f - 15)
      if lz <= z then
        if startOf(ls) == startOf(s) then return false end
        break
      end
      f = string.sub(f, 1, -17)
    end
    f = f .. part(z, s)
  end
  call('HSET', e, name, f)
  if first and rolling then call('ZADD', x, text(s), name) end
  local nz, ns = standing(f)
  return setRank(name, oz, os, nz, ns)
end
local function gather(start, name, z, s)
  local key, mine = b .. 'b:' .. start, b .. 'h:' .. start
  if agg == 'every' then
    if not archived and beyond(key, z) then return end
    call('ZADD', key, num(z), member(name, s))
  else
    local f = call('HGET', mine, name)
    if not f and not archived and beyond(key, z) then return end
    if f then
      local oz, os = unpack_('>dI8', f)
      if agg == 'best' and oz <= z then return end
      if agg == 'sum' then z = z + oz end
      call('ZREM', key, member(name, os))
    end
    call('HSET', mine, name, part(z, s))
    call('ZADD', key, num(z), member(name, s))
  end
  if kept and not archived then
    local over = call('ZCARD', key) - K
    if over > 0 then
      for _, mem in ipairs(call('ZRANGE', key, -over, -1)) do
        call('ZREM', key, mem)
        if agg ~= 'every' then call('HDEL', mine, nameOf(mem)) end
      end
    end
  end
end
`
