#!lua
-- KEYS: mark, then for each message the key that says who receives it
-- ARGV: the mark, how the names of queues begin, then for each message: kind, source, number of fields, fields
if ARGV[1] ~= '' and redis.call('GET', KEYS[1]) ~= ARGV[1] then return {'LOST'} end
local answers, at = {}, 3
for number = 2, #KEYS do
  local kind, source, last = ARGV[at], ARGV[at + 1], at + 2 + tonumber(ARGV[at + 2])
  local services
  if kind == 'command' then services = redis.pcall('GET', KEYS[number])
  else services = redis.pcall('SMEMBERS', KEYS[number]) end
  if type(services) == 'string' then services = {services} end
  local answer = services and services.err or 'UNROUTABLE'
  if services and not services.err then
    for _, service in ipairs(services) do
      if kind == 'command' or service ~= source then
        local entry = redis.pcall('XADD', ARGV[2] .. service, '*', unpack(ARGV, at + 3, last))
        if type(entry) == 'table' and entry.err then
          answer = entry.err
          break
        end
        answer = 'CONFIRMED'
      end
    end
  end
  answers[number - 1] = answer
  at = last + 1
end
return answers
