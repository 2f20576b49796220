package valkey

import durable "cacheproxy/durable/valkey"

// foreign begins the scripts of the archiver. They refuse a board that lacks data from the archive.
const foreign = `
if born and archived and loaded ~= g then return {'LOADING'} end
`

// owedScript lists buckets that the archive lacks, in the order of their ends. When the script reports a bucket as
// closed, it stores the board's clock: nothing is added to the bucket afterwards, whatever the server's clock does.
//
// ARGV after A: the most buckets. Reply: OK, the board's clock, the last stamp of a submission, and start and end of
// each; AGAIN as in submitScript; LOADING as in readScript
var owedScript = durable.NewScript(prelude, rotation, foreign, `
if not born then return {'OK', text(now), '0'} end
if not rotate() then return {'AGAIN'} end
local all = call('ZRANGE', owed, 0, tonumber(ARGV[A + 1]) - 1, 'WITHSCORES')
local reply = {'OK', text(now), call('HGET', m, 'w') or '0'}
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

// membersScript returns a page of a bucket. ARGV after A: start, first and last place. Reply: OK, and pairs of member
// and z; LOADING if the records were lost
var membersScript = durable.NewScript(prelude, foreign, `
if not born then return {archived and 'LOADING' or 'OK'} end
local reply = {'OK'}
for _, v in ipairs(call('ZRANGE', b .. 'b:' .. ARGV[A + 1], ARGV[A + 2], ARGV[A + 3], 'WITHSCORES')) do reply[#reply + 1] = v end
return reply
`)

// archivedScript releases a bucket that the archive has: one that is closed, and has as many members as the archive has
// taken. Members that the ranking is made of stay for as long as the window needs them, cut to the places that are
// kept.
//
// ARGV after A: start, count. Reply: CUT, or KEPT
var archivedScript = durable.NewScript(prelude, rotation, foreign, `
local start = ARGV[A + 1]
local ends = tonumber(call('ZSCORE', owed, start) or '')
if not ends then return {'CUT'} end
local key = b .. 'b:' .. start
if now < ends or call('ZCARD', key) ~= tonumber(ARGV[A + 2]) then return {'KEPT'} end
call('HSET', m, 't', text(now))
call('ZREM', owed, start)
if call('ZSCORE', bs, start) then
  -- Put back what stays: to remove the rest one by one keeps the server from everything else, of a bucket with a million for seconds.
  local first, stay = call('ZRANGE', key, 0, K - 1, 'WITHSCORES'), {}
  for i = 1, #first, 2 do stay[i], stay[i + 1] = first[i + 1], first[i] end
  call('UNLINK', key, b .. 'h:' .. start)
  bulk('ZADD', key, stay)
else
  discard(start)
end
return {'CUT'}
`)

// linesScript returns a page of the submissions. ARGV after A: the id to start after, how many. Reply: OK, and stamp,
// player and z of each; LOADING as above
var linesScript = durable.NewScript(prelude, foreign, `
local reply = {'OK'}
for _, entry in ipairs(call('XRANGE', b .. 's', ARGV[A + 1], '+', 'COUNT', ARGV[A + 2])) do
  reply[#reply + 1] = string.match(entry[1], '^%d+')
  reply[#reply + 1] = entry[2][2]
  reply[#reply + 1] = entry[2][4]
end
return reply
`)

// takenScript forgets submissions, unless the records went back since they were read. ARGV after A: the first that
// stays, the least value and the limit of the board's mark. Reply: OK
var takenScript = durable.NewScript(prelude, `
local k = tonumber(call('HGET', m, 'k') or '0')
if k >= tonumber(ARGV[A + 2]) and k < tonumber(ARGV[A + 3]) then call('XTRIM', b .. 's', 'MINID', ARGV[A + 1]) end
return {'OK'}
`)

// markScript increments the board's mark, unless the mark is below a given value. ARGV: base, given value. Reply: the
// new mark; BACK if the mark is below
var markScript = durable.NewScript(`
local m = ARGV[1] .. 'm'
local k = tonumber(redis.call('HGET', m, 'k') or '0')
if k < tonumber(ARGV[2]) then return {'BACK'} end
redis.call('HSET', m, 'k', string.format('%.0f', k + 1))
return {string.format('%.0f', k + 1)}
`)

// mendedScript raises the board's mark to at least a value. ARGV: base, value. Reply: OK
var mendedScript = durable.NewScript(`
local m = ARGV[1] .. 'm'
local k = math.max(tonumber(redis.call('HGET', m, 'k') or '0'), tonumber(ARGV[2]))
redis.call('HSET', m, 'k', string.format('%.0f', k))
return {'OK'}
`)
