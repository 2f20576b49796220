package valkey

import durable "cacheproxy/durable/valkey"

// submitScript records submissions, all or none.
//
// ARGV after those of the prelude: 1 if the board may be made, name of the idempotency key or an empty text, digest of
// what was submitted under the key, how many ms the key is remembered, pairs of player and z.
//
// Reply: OK or SAME, and the receipts. The rank in a receipt is 0 beyond the places that are kept, and -1 while the
// board is loaded. NEW: the board does not exist. TIME and the board's clock: the clock is outside of the period.
// AGAIN: the window has to slide first. OTHER: the key stands for another submission. LARGE: a sum would not be exact.
var submitScript = durable.NewScript(prelude, rotation, adding, `
if not born and ARGV[A + 1] ~= '1' then return {'NEW'} end
if ARGV[A + 2] ~= '' then
  local was = call('GET', b .. 'i:' .. ARGV[A + 2])
  if was then
    if string.sub(was, 1, #ARGV[A + 3]) ~= ARGV[A + 3] then return {'OTHER'} end
    call('HSET', m, 'h', text(us)) -- so that WAIT speaks of all that was written before
    return {'SAME', string.sub(was, #ARGV[A + 3] + 1)}
  end
end
local count = (#ARGV - A - 4) / 2
if span == 'period' then
  if us < ps and ps - us <= 1000 then us = ps end
  now = math.max(us, last)
  if elsewhere(count + 2) then return {'TIME', text(now + count + 2)} end
end
if not rotate() then return {'AGAIN'} end
local s = math.max(us, last + 1)
if floor(s + count - 1) ~= floor(s) then s = floor(s + count - 1) end
if agg == 'sum' then
  local sums = {}
  for i = A + 5, #ARGV, 2 do
    local name, z = ARGV[i], tonumber(ARGV[i + 1])
    if not sums[name] then
      local f = call('HGET', e, name)
      sums[name] = 0
      if f then sums[name] = unpack_('>d', f, 9) end
    end
    if sums[name] > 9007199254740992 - math.abs(z) then return {'LARGE'} end -- beyond it their sum would be rounded to it
    sums[name] = sums[name] + math.abs(z)
  end
end
call('HSET', m, 't', text(s + count - 1), 'w', text(s + count - 1))
if not born then
  born, loaded = s, g
  call('HSET', m, 'c', text(s), 'g', g, 'u', ARGV[14], 'l', ARGV[6])
end
local start = text(startOf(s))
local writes = start .. ' ' .. ARGV[10]
if bucketed and open ~= writes then
  local ends = floor(s) + B
  if span == 'period' then ends = math.min(ends, pe) end
  local was = open and string.match(open, '^%d+')
  if was and was ~= start and not call('ZSCORE', owed, was) then call('UNLINK', b .. 'h:' .. was) end
  call('HSET', m, 'o', writes)
  if archived then call('ZADD', owed, text(ends), start) end
  if kept and rolling then call('ZADD', bs, text(ends), start) end
end
if not due and span ~= 'all' then
  due = rolling and floor(s) + B + W or pe
  call('HSET', m, 'n', text(due))
end
local changed = false
for i = A + 5, #ARGV, 2 do
  local name, z, at = ARGV[i], tonumber(ARGV[i + 1]), s + (i - A - 5) / 2
  if submitted then call('XADD', b .. 's', text(at) .. '-0', 'p', name, 'z', num(z)) end
  if bucketed then gather(start, name, z, at) end
  if place(name, z, at) then changed = true end
end
if changed then call('HSET', m, 'v', text(s + count - 1)) end
local receipts = {}
for i = A + 5, #ARGV, 2 do
  local name, z, at = ARGV[i], tonumber(ARGV[i + 1]), s + (i - A - 5) / 2
  if agg ~= 'every' then
    local cz, cs = standing(call('HGET', e, name))
    if cz then z, at = cz, cs end
  end
  local rank = call('ZRANK', r, member(name, at))
  if not rank or K > 0 and rank >= K then rank = -1 end
  if archived and loaded == '' then rank = -2 end -- not known before what the archive has is there: the score neither
  receipts[#receipts + 1] = num(z) .. ' ' .. text(rank + 1)
end
receipts = table.concat(receipts, ' ')
if ARGV[A + 2] ~= '' then call('SET', b .. 'i:' .. ARGV[A + 2], ARGV[A + 3] .. receipts, 'PX', ARGV[A + 4]) end
return {'OK', receipts}
`)

// readScript returns a part of a board.
//
// ARGV after those of the prelude: top and a number of places; or around, the number of places before and after, and
// the player; or all and a number above the size of any board, for places beyond the ranks too.
//
// Reply: OK, version, number of places, rank of the first, the board's clock, pairs of member and z. NONE: the board
// does not exist. LOADING: the board lacks data from the archive. TIME and AGAIN as in submitScript. ABSENT: the player
// is not on the board. BEYOND: the player may be below the places that are kept.
var readScript = durable.NewScript(prelude, rotation, `
if not born then return {'NONE'} end
if archived and (g == '' or loaded ~= g) then return {'LOADING'} end
if elsewhere(1) then return {'TIME', text(now)} end
if not rotate() then return {'AGAIN'} end
local total = call('ZCARD', r)
local from, to = 0, tonumber(ARGV[A + 2]) - 1
if ARGV[A + 1] == 'around' then
  local name, mem = ARGV[A + 3], nil
  if agg == 'every' then
    local first = call('ZRANGEBYLEX', y, '[' .. name .. '\0\1', '(' .. name .. '\0\2', 'LIMIT', 0, 1)[1]
    if first then
      local c = {string.byte(first, #name + 2, #name + 9)}
      mem = member(name, (unpack_('>I8', first, #name + 11)))
    end
  else
    local z, s = standing(call('HGET', e, name))
    if s then mem = member(name, s) end
  end
  local rank = mem and call('ZRANK', r, mem)
  if not rank and (not kept or total < K) then return {'ABSENT', text(now)} end
  if not rank or K > 0 and rank >= K then return {'BEYOND', text(now)} end
  from, to = math.max(0, rank - tonumber(ARGV[A + 2])), rank + tonumber(ARGV[A + 2])
end
if K > 0 and ARGV[A + 1] ~= 'all' then to, total = math.min(to, K - 1), math.min(total, K) end
local reply = {'OK', version, text(total), text(from + 1), text(now)}
if to < from then return reply end
for _, v in ipairs(call('ZRANGE', r, from, to, 'WITHSCORES')) do reply[#reply + 1] = v end
return reply
`)
