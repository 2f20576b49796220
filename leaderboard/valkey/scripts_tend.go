package valkey

import durable "cacheproxy/durable/valkey"

// tendScript slides the window of a board, since possibly nobody reads or writes the board. If the route has no
// archive, the script also removes buckets that wait for an archive: after a day, since another instance may have a
// configuration with an archive. Reply: IDLE if the board is empty, BUSY, NONE; AGAIN as in submitScript
var tendScript = durable.NewScript(prelude, rotation, `
if not born then return {'NONE'} end
if not rotate() then return {'AGAIN'} end
if not archived then
  local stray = call('ZRANGEBYSCORE', owed, '-inf', text(now - W - 86400000000), 'LIMIT', 0, 100)
  for _, start in ipairs(stray) do
    call('ZREM', owed, start)
    if not call('ZSCORE', bs, start) then discard(start) end
  end
  if #stray == 100 then return {'AGAIN'} end
end
`+idle+`
return {idle() and 'IDLE' or 'BUSY'}
`)

// dropScript removes the remaining keys of an empty board. Reply: OK, or BUSY
var dropScript = durable.NewScript(prelude, rotation, idle, `
if not idle() then return {'BUSY'} end
if open then call('UNLINK', b .. 'h:' .. string.match(open, '^%d+'), b .. 'b:' .. string.match(open, '^%d+')) end
call('UNLINK', m, b .. 's')
return {'OK'}
`)

// idle says whether a board shows nothing, and nothing of it is waited for.
const idle = `
local function idle()
  if due or archived and loaded ~= g then return false end
  for _, key in ipairs({r, bs, owed}) do
    if call('ZCARD', key) > 0 then return false end
  end
  return span ~= 'all' and call('XLEN', b .. 's') == 0
end
`

// forgetScript removes a board from its route, unless a script wrote the board's entry lately. ARGV: base, board, the
// least age of the entry in ms. Reply: OK, or LATELY
var forgetScript = durable.NewScript(routePrelude, `
local was = redis.call('HGET', b .. 'b', ARGV[2])
if was and tonumber(now) - tonumber(string.sub(was, 2)) < tonumber(ARGV[3]) then return {'LATELY'} end
redis.call('HDEL', b .. 'b', ARGV[2])
return {'OK'}
`)

// bucketsScript lists the buckets of a board. Reply: OK, the board's clock, and start and end of each; NONE if the board
// does not exist; AGAIN as in submitScript; LOADING as in readScript
var bucketsScript = durable.NewScript(prelude, rotation, foreign, `
if not born then return {'NONE'} end
if not rotate() then return {'AGAIN'} end
local reply, seen = {'OK', text(now)}, {}
for _, key in ipairs({bs, owed}) do
  local all = call('ZRANGE', key, 0, -1, 'WITHSCORES')
  for i = 1, #all, 2 do
    if not seen[all[i]] then
      seen[all[i]] = true
      reply[#reply + 1] = all[i]
      reply[#reply + 1] = text(tonumber(all[i + 1]))
    end
  end
end
return reply
`)

// measureScript returns the memory of a board. The memory of buckets is extrapolated from a sample. Reply: bytes
var measureScript = durable.NewScript(prelude, `
local function bytes(key) return call('MEMORY', 'USAGE', key) or 0 end
local sum = 0
for _, key in ipairs({m, r, e, x, y, bs, owed, b .. 's'}) do sum = sum + bytes(key) end
for _, key in ipairs({bs, owed}) do
  local count = call('ZCARD', key)
  local step, some, tried = math.max(1, math.floor(count / 20)), 0, 0
  for i = 0, count - 1, step do
    local start = call('ZRANGE', key, i, i)[1]
    if key == bs or not call('ZSCORE', bs, start) then
      some = some + bytes(b .. 'b:' .. start) + bytes(b .. 'h:' .. start)
    end
    tried = tried + 1
  end
  if tried > 0 then sum = sum + some * count / tried end
end
return {text(sum)}
`)
