package valkey

import durable "cacheproxy/durable/valkey"

// routePrelude begins every script of a route. The records of a route list its boards, and say which incarnation of the
// records is whole. Keys begin with ARGV[1]:
//
//	b  hash: board → l, or r if no submission is known to be recorded, and when a script last wrote this entry, in ms
//	s  hash: g the incarnation, p 1 while the records are loaded
//
// An incarnation is a unique name. Only the archiver makes incarnations, since only the archiver can tell lost records
// from records that never were. A route without an archive has none. Each board has the incarnation of which the board
// is whole.
const routePrelude = `
local b = ARGV[1]
local clock = redis.call('TIME')
local now = string.format('%.0f', tonumber(clock[1]) * 1000 + math.floor(tonumber(clock[2]) / 1000))
local function state(board)
  local s = redis.call('HMGET', b .. 's', 'g', 'p')
  return {'OK', s[1] or '', s[2] or '', string.sub(redis.call('HGET', b .. 'b', board) or '', 1, 1), now}
end
`

// registerScript registers a board before a submission. ARGV: base, board, most boards
var registerScript = durable.NewScript(routePrelude, `
local reply = state(ARGV[2])
if reply[4] == '' and redis.call('HLEN', b .. 'b') >= tonumber(ARGV[3]) then return {'MANY'} end
redis.call('HSET', b .. 'b', ARGV[2], (reply[4] == '' and 'r' or reply[4]) .. now)
return reply
`)

// confirmScript records that a board has a submission. ARGV: base, board
var confirmScript = durable.NewScript(routePrelude, `
redis.call('HSET', b .. 'b', ARGV[2], 'l' .. now)
return {'OK'}
`)

// stateScript returns the state of a board. ARGV: base, board
var stateScript = durable.NewScript(routePrelude, `return state(ARGV[2])`)

// faultScript records that an incarnation is incomplete, and has to be loaded. ARGV: base, incarnation
var faultScript = durable.NewScript(routePrelude, `
if redis.call('HGET', b .. 's', 'g') == ARGV[2] then redis.call('HSET', b .. 's', 'p', '1') end
return {'OK'}
`)
