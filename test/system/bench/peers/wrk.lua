-- Sends prepared heads in turn. Arguments: a file of heads, each up to its empty line; a file of paths, one a line, "@" for one
-- that nobody has asked for before; and what such paths begin with.
local function read(name)
  local file = assert(io.open(name, "rb"))
  local text = file:read("*a")
  file:close()
  return text
end

local requests, heads, prefix, at, made = {}, {}, "", 0, 0

function init(args)
  local paths = {}
  for head in read(args[1]):gmatch("(.-\r\n\r\n)") do heads[#heads + 1] = head end
  for path in read(args[2]):gmatch("[^\n]+") do paths[#paths + 1] = path end
  prefix = args[3]
  if #paths > 20000 or paths[1] == "@" then -- inTurn in wrk.go knows this, and what follows
    -- So many whole requests would only fill memory.
    request = function()
      at = at + 1
      local path = paths[at % #paths + 1]
      if path == "@" then
        made = made + 1
        path = prefix .. made
      end
      return "GET " .. path .. " HTTP/1.1\r\n" .. heads[at % #heads + 1]
    end
    return
  end
  for i = 1, math.max(#paths, #heads) do
    local path = paths[(i - 1) % #paths + 1]
    -- Paths go round in one more step than heads, so that a path meets other heads.
    local head = heads[(i - 1 + math.floor((i - 1) / #heads)) % #heads + 1]
    requests[i] = path ~= "@" and "GET " .. path .. " HTTP/1.1\r\n" .. head
  end
end

function request()
  at = at % #requests + 1
  local ready = requests[at]
  if ready then return ready end
  made = made + 1
  return "GET " .. prefix .. made .. " HTTP/1.1\r\n" .. heads[made % #heads + 1]
end

function done(summary, latency)
  local e = summary.errors
  print(string.format('wrk {"requests":%d,"microseconds":%d,"bytes":%d,"connect":%d,"read":%d,"write":%d,"status":%d,"timeout":%d}',
    summary.requests, summary.duration, summary.bytes, e.connect, e.read, e.write, e.status, e.timeout))
end
