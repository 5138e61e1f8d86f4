#!lua flags=allow-oom
-- KEYS: queue, lease
-- ARGV: group, consumer, token, milliseconds, most messages, most bytes, cursor
local queue, group, consumer = KEYS[1], ARGV[1], ARGV[2]
local most, room, cursor = tonumber(ARGV[5]), tonumber(ARGV[6]), ARGV[7]
if redis.call('GET', KEYS[2]) ~= ARGV[3] then return {'FENCED'} end
redis.call('PEXPIRE', KEYS[2], ARGV[4])
local entries, again = {}, 0
while #entries < most and room > 0 do
  local count = math.min(32, most - #entries)
  local reply = redis.call('XREADGROUP', 'GROUP', group, consumer, 'COUNT', count, 'STREAMS', queue, cursor)
  local page = reply and reply[1] and reply[1][2] or {}
  if #page == 0 then
    if cursor == '>' then break end
    cursor = '>'
  end
  for _, entry in ipairs(page) do
    entries[#entries + 1] = entry
    if cursor ~= '>' then cursor, again = entry[1], again + 1 end
    for _, part in ipairs(entry[2] or {}) do room = room - #part end
  end
end
local last = ''
if #entries == 0 then
  for _, each in ipairs(redis.call('XINFO', 'GROUPS', queue)) do
    if each[2] == group then last = each[8] end
  end
end
return {cursor, last, again, cmsgpack.pack(entries)}
