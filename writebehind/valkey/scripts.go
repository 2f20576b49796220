package valkey

import (
	durable "cacheproxy/durable/valkey"
)

// prelude begins every script. now is the server's clock in milliseconds.
const prelude = `
local b = ARGV[1]
local clock = redis.call('TIME')
local us = tonumber(clock[1]) * 1000000 + tonumber(clock[2])
local now = string.format('%.0f', math.floor(us / 1000))
local function sequence()
  local last = tonumber(redis.call('HGET', b .. 'm', 'seq') or '0')
  local q = string.format('%.0f', math.max(us, last + 1))
  redis.call('HSET', b .. 'm', 'seq', q)
  return q
end
`

// appendScript adds a write, unless its idempotency key is known. Sequences come from the clock and never decrease. So
// a write that is accepted after a failover, which may have lost the last writes, is later than all writes that the
// origin has seen. For a known write, the script writes to the record: WAIT and WAITAOF then cover everything that was
// written before.
//
// ARGV: base, partition, id, key, route, bound of the route, bound of the key, 1 if the write may be repeated, request,
// pairs of name and payload
var appendScript = durable.NewScript(prelude + `
for i = 10, #ARGV, 2 do
  local was = redis.call('GET', b .. 'i:' .. ARGV[i])
  if was then
    local payload, id = string.match(was, '^(%S+) (%S+)$')
    local w = b .. 'w:' .. (id or '')
    local r = redis.call('HMGET', w, 's', 'a')
    if r[1] then
      if payload ~= ARGV[i + 1] then return {'OTHER'} end
      redis.call('HSET', w, 'h', now)
      return {'SAME', id, r[1], r[2]}
    end
  end
end
local list = b .. 'k:' .. ARGV[4]
if redis.call('LLEN', list) >= tonumber(ARGV[7]) then return {'FULL', 'key'} end
if tonumber(redis.call('HGET', b .. 'r', ARGV[5]) or '0') >= tonumber(ARGV[6]) then return {'FULL', 'route'} end
local q = sequence()
redis.call('XADD', b .. 'q:' .. ARGV[2], q .. '-0', 'i', ARGV[3], 'k', ARGV[4])
redis.call('RPUSH', list, ARGV[3])
redis.call('HINCRBY', b .. 'r', ARGV[5], 1)
redis.call('HSET', b .. 'w:' .. ARGV[3], 's', 'queued', 'k', ARGV[4], 'r', ARGV[5], 'p', ARGV[2], 'q', q, 'e', q .. '-0', 'a', now, 'u', now,
  'n', '0', 'y', ARGV[8], 'f', ARGV[10], 'd', ARGV[9])
redis.call('SET', b .. 'i:' .. ARGV[10], ARGV[11] .. ' ' .. ARGV[3])
return {'OK', ARGV[3], 'queued', now}
`)

// tendScript renews the leases of an instance, and takes free partitions up to its share. The reply tells the instance
// to give back partitions beyond its share.
//
// ARGV: base, instance, partitions, lease in ms. Reply: live instances, then partition, token and keep or give of each
// owned partition
var tendScript = durable.NewScript(prelude + `
local me, partitions, lease = ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
redis.call('ZADD', b .. 'l', now, me)
redis.call('ZREMRANGEBYSCORE', b .. 'l', '-inf', tonumber(now) - 2 * lease)
local live = redis.call('ZCARD', b .. 'l')
local share = math.ceil(partitions / live)
local reply, have, free = {tostring(live)}, 0, {}
for p = 0, partitions - 1 do
  local o = redis.call('GET', b .. 'o:' .. p)
  if not o then
    free[#free + 1] = p
  else
    local who, token = string.match(o, '^(.*) (%d+)$')
    if who == me then
      have = have + 1
      redis.call('PEXPIRE', b .. 'o:' .. p, lease)
      reply[#reply + 1] = tostring(p)
      reply[#reply + 1] = token
      reply[#reply + 1] = have > share and 'give' or 'keep'
    end
  end
end
for _, p in ipairs(free) do
  if have >= share then break end
  have = have + 1
  local token = tostring(redis.call('HINCRBY', b .. 'm', 'tok', 1))
  redis.call('SET', b .. 'o:' .. p, me .. ' ' .. token, 'PX', lease)
  reply[#reply + 1] = tostring(p)
  reply[#reply + 1] = token
  reply[#reply + 1] = 'keep'
end
return reply
`)

// releaseScript gives a partition back. ARGV: base, partition, owner and token
var releaseScript = durable.NewScript(prelude + `
if redis.call('GET', b .. 'o:' .. ARGV[2]) == ARGV[3] then redis.call('DEL', b .. 'o:' .. ARGV[2]) end
return {'OK'}
`)

// leaveScript removes an instance from the list of those that flush. ARGV: base, instance
var leaveScript = durable.NewScript(prelude + `
redis.call('ZREM', b .. 'l', ARGV[2])
return {'OK'}
`)

// owned begins a script that only the owner of a partition may run. ARGV: base, partition, owner and token, id
const owned = prelude + `
if redis.call('GET', b .. 'o:' .. ARGV[2]) ~= ARGV[3] then return {'LOST'} end
local w = b .. 'w:' .. ARGV[4]
`

// beginScript records that a write is about to be sent, before the write is sent: the next owner then knows that the
// write may have been sent. A write in state sending that may not be repeated is left unchanged, and so is a write
// whose pause is not over, or whose key rests because the origin may be at work on an earlier try. The rest belongs to
// the key, not to the write: it holds for this write if an operator has it tried again, for later writes if the operator
// drops it, and for each owner.
var beginScript = durable.NewScript(owned + `
local r = redis.call('HMGET', w, 's', 'd', 'n', 't', 'q', 'y', 'a', 'x', 'k')
if not r[1] then return {'GONE'} end
if r[1] == 'done' or r[1] == 'dropped' or r[1] == 'dead' then return {'IS', r[1], redis.call('HGET', w, 'b') or ''} end
if r[1] == 'queued' or r[1] == 'waiting' or (r[1] == 'sending' and r[6] == '1') then
  local first = math.max(r[1] == 'waiting' and tonumber(r[8] or '0') or 0, tonumber(redis.call('GET', b .. 'h:' .. r[9]) or '0'))
  if first > tonumber(now) then return {'OK', r[1], r[2] or '', r[3], r[4] or now, r[5], r[7], now, string.format('%.0f', first)} end
  redis.call('HSET', w, 's', 'sending', 'u', now, 't', r[4] or now)
  redis.call('HINCRBY', w, 'n', 1)
end
return {'OK', r[1], r[2] or '', r[3], r[4] or now, r[5], r[7], now, ''}
`)

// settleScript records the outcome of a try.
//
// ARGV: base, partition, owner and token, id, state, status of the answer, problem, 1 if the write blocks its key, how
// long the record is kept in ms, the pause in ms, how long the origin may still be at work on the try in ms
var settleScript = durable.NewScript(owned + `
local r = redis.call('HMGET', w, 's', 'k', 'r', 'e', 'f')
if not r[1] then return {'GONE'} end
local state, key, entry = ARGV[5], r[2], r[4]
if tonumber(ARGV[11]) > 0 then
  redis.call('SET', b .. 'h:' .. key, string.format('%.0f', tonumber(now) + tonumber(ARGV[11])), 'PX', ARGV[11])
end
redis.call('HSET', w, 's', state, 'u', now, 'c', ARGV[6], 'g', ARGV[7], 'b', ARGV[8], 'x', string.format('%.0f', tonumber(now) + tonumber(ARGV[10])))
if state == 'done' then
  redis.call('HDEL', w, 'd')
  redis.call('XDEL', b .. 'q:' .. ARGV[2], entry)
  redis.call('LREM', b .. 'k:' .. key, 1, ARGV[4])
  if redis.call('HINCRBY', b .. 'r', r[3], -1) <= 0 then redis.call('HDEL', b .. 'r', r[3]) end
  redis.call('PEXPIRE', w, ARGV[9])
  redis.call('PEXPIRE', b .. 'i:' .. r[5], ARGV[9])
  for _, id in ipairs(redis.call('LRANGE', b .. 'x:' .. key, 0, -1)) do redis.call('HSET', b .. 'w:' .. id, 'v', '1') end
elseif state == 'dead' then
  redis.call('ZADD', b .. 'd', redis.call('HGET', w, 'q'), ARGV[4])
  if ARGV[8] ~= '1' then
    redis.call('XDEL', b .. 'q:' .. ARGV[2], entry)
    redis.call('LREM', b .. 'k:' .. key, 1, ARGV[4])
    redis.call('RPUSH', b .. 'x:' .. key, ARGV[4])
  end
end
return {'OK'}
`)

// forgetScript removes an entry that has been dealt with. ARGV: base, partition, owner and token, id (empty), entry
var forgetScript = durable.NewScript(owned + `
redis.call('XDEL', b .. 'q:' .. ARGV[2], ARGV[5])
return {'OK'}
`)

// retryScript has a dead letter tried again. If its key has later writes, the dead letter would undo them, so the
// script refuses unless forced. Forced, the write becomes the last write of its key. ARGV: base, id, 1 if forced
var retryScript = durable.NewScript(prelude + `
local w = b .. 'w:' .. ARGV[2]
local r = redis.call('HMGET', w, 's', 'b', 'k', 'p', 'v', 'q')
if not r[1] then return {'GONE'} end
if r[1] ~= 'dead' then return {'ALIVE', r[1]} end
local q, stream = sequence(), b .. 'q:' .. r[4]
if r[2] == '1' then
  redis.call('XADD', stream, q .. '-0', 'c', 'retry', 'i', ARGV[2], 'k', r[3])
else
  local list = b .. 'k:' .. r[3]
  if r[5] == '1' or redis.call('LLEN', list) > 0 then
    if ARGV[3] ~= '1' then return {'LATER'} end
    redis.call('HSET', w, 'q', q)
  end
  redis.call('XADD', stream, q .. '-0', 'i', ARGV[2], 'k', r[3])
  redis.call('HSET', w, 'e', q .. '-0')
  redis.call('LREM', b .. 'x:' .. r[3], 1, ARGV[2])
  redis.call('RPUSH', list, ARGV[2])
end
redis.call('HSET', w, 's', 'queued', 'u', now, 'b', '')
redis.call('HDEL', w, 't', 'v')
redis.call('ZREM', b .. 'd', ARGV[2])
return {'OK'}
`)

// dropScript ends a dead letter; forced, also a waiting write. The script refuses a write that is at the origin, or may
// be: the recorded state would not be the outcome of the write. ARGV: base, id, how long the record is kept in ms, 1 if
// forced
var dropScript = durable.NewScript(prelude + `
local w = b .. 'w:' .. ARGV[2]
local r = redis.call('HMGET', w, 's', 'b', 'k', 'p', 'r', 'e', 'f')
if not r[1] then return {'GONE'} end
local waits = r[1] == 'queued' or r[1] == 'waiting'
if r[1] ~= 'dead' and not (waits and ARGV[4] == '1') then return {'ALIVE', r[1]} end
if waits or r[2] == '1' then
  redis.call('XDEL', b .. 'q:' .. r[4], r[6])
  redis.call('LREM', b .. 'k:' .. r[3], 1, ARGV[2])
  redis.call('XADD', b .. 'q:' .. r[4], sequence() .. '-0', 'c', 'drop', 'i', ARGV[2], 'k', r[3])
else
  redis.call('LREM', b .. 'x:' .. r[3], 1, ARGV[2])
end
redis.call('ZREM', b .. 'd', ARGV[2])
if redis.call('HINCRBY', b .. 'r', r[5], -1) <= 0 then redis.call('HDEL', b .. 'r', r[5]) end
redis.call('HSET', w, 's', 'dropped', 'u', now)
redis.call('HDEL', w, 'd')
redis.call('PEXPIRE', w, ARGV[3])
redis.call('PEXPIRE', b .. 'i:' .. r[7], ARGV[3])
return {'OK'}
`)

// lastScript returns for each key the id of the last write that is not done, or an empty text, and the state of the
// first such write. ARGV: base, keys
var lastScript = durable.NewScript(prelude + `
local reply = {}
for i = 2, #ARGV do
  local list = b .. 'k:' .. ARGV[i]
  local first, last = redis.call('LINDEX', list, 0), redis.call('LINDEX', list, -1)
  reply[#reply + 1] = last or ''
  reply[#reply + 1] = first and redis.call('HGET', b .. 'w:' .. first, 's') or ''
end
return reply
`)

// registerScript records the routes in force on an instance, and returns all routes, each with the time since it became
// known, in ms. While no write waits, the script removes routes that no instance has had in force for the time to keep.
// ARGV: base, how long a route is kept in ms, routes
var registerScript = durable.NewScript(prelude + `
for i = 3, #ARGV do
  local was = redis.call('HGET', b .. 'n', ARGV[i])
  redis.call('HSET', b .. 'n', ARGV[i], (string.match(was or '', '^(%d+) ') or now) .. ' ' .. now)
end
local all, reply = redis.call('HGETALL', b .. 'n'), {}
local waits = #redis.call('HKEYS', b .. 'r') > 0
for i = 1, #all, 2 do
  local first, last = string.match(all[i + 1], '^(%d+) (%d+)$')
  if not last or (not waits and tonumber(now) - tonumber(last) > tonumber(ARGV[2])) then
    redis.call('HDEL', b .. 'n', all[i])
  else
    reply[#reply + 1] = all[i]
    reply[#reply + 1] = string.format('%.0f', tonumber(now) - tonumber(first))
  end
end
return reply
`)
