#!lua
-- KEYS: mark, then the keys that say who receives the messages
-- ARGV: the mark, how the names of queues begin, messages packed: a list of key, kind, source and fields, then the body
if ARGV[1] ~= '' and redis.call('GET', KEYS[1]) ~= ARGV[1] then return {'LOST'} end
local receivers, answers = {}, {}

local function receivers_of(key, kind)
  local found = receivers[key]
  if found == nil then
    if kind == 'command' then found = redis.pcall('GET', key)
    else found = redis.pcall('SMEMBERS', key) end
    if type(found) == 'string' then found = {found} end
    receivers[key] = found
  end
  return found
end

for number, message in ipairs(cmsgpack.unpack(ARGV[3])) do
  local head, kind, source = message[1], message[1][2], message[1][3]
  local services = receivers_of(head[1], kind)
  local answer = services and services.err or 'UNROUTABLE'
  if services and not services.err then
    local count = #head
    head[count + 1], head[count + 2] = 'body', message[2]
    for _, service in ipairs(services) do
      if kind == 'command' or service ~= source then
        local entry = redis.pcall('XADD', ARGV[2] .. service, '*', unpack(head, 4))
        if type(entry) == 'table' and entry.err then
          answer = entry.err
          break
        end
        answer = 'CONFIRMED'
      end
    end
  end
  answers[number] = answer
end
return {'SENT', cmsgpack.pack(answers)}
