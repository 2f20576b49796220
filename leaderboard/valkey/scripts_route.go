package valkey

import durable "cacheproxy/durable/valkey"

// The scripts of a route keep which boards it has, and which incarnation of the records is whole. Keys begin with ARGV[1]:
//
//	b  hash: board → l, or r where nothing is known to be recorded, and when it was last heard of in ms
//	s  hash: g the incarnation, p 1 while it is read back
//
// The incarnation is a name that nobody gives twice. It is made where the route has no archive, or by the archiver, who alone can tell records
// that were lost from those that never were; each board says of which incarnation it is whole.
const routePrelude = `
local b = ARGV[1]
local clock = redis.call('TIME')
local now = string.format('%.0f', tonumber(clock[1]) * 1000 + math.floor(tonumber(clock[2]) / 1000))
local function state(board)
  local s = redis.call('HMGET', b .. 's', 'g', 'p')
  return {'OK', s[1] or '', s[2] or '', string.sub(redis.call('HGET', b .. 'b', board) or '', 1, 1), now}
end
`

// registerScript notes that a board is about to be written to. ARGV: base, board, most boards
var registerScript = durable.NewScript(routePrelude, `
local reply = state(ARGV[2])
if reply[4] == '' and redis.call('HLEN', b .. 'b') >= tonumber(ARGV[3]) then return {'MANY'} end
redis.call('HSET', b .. 'b', ARGV[2], (reply[4] == '' and 'r' or reply[4]) .. now)
return reply
`)

// confirmScript notes that a board has been written to. ARGV: base, board
var confirmScript = durable.NewScript(routePrelude, `
redis.call('HSET', b .. 'b', ARGV[2], 'l' .. now)
return {'OK'}
`)

// stateScript says what is known of a board. ARGV: base, board
var stateScript = durable.NewScript(routePrelude, `return state(ARGV[2])`)

// faultScript notes that an incarnation is not whole, and has to be read back. ARGV: base, incarnation
var faultScript = durable.NewScript(routePrelude, `
if redis.call('HGET', b .. 's', 'g') == ARGV[2] then redis.call('HSET', b .. 's', 'p', '1') end
return {'OK'}
`)
