#!lua flags=allow-oom
-- KEYS: mark, queue, store, lease, then a key for each event and each command
-- ARGV: a new mark, group, service, store, receives, make, move, how many events
local mark, queue, store_key = KEYS[1], KEYS[2], KEYS[3]
local new_mark, group, service, store = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local receives, make, move = ARGV[5] == '1', ARGV[6] == '1', ARGV[7] == '1'
local last_event = 4 + tonumber(ARGV[8])
local problems = {}

local function wants(key, kind)
  local found = redis.call('TYPE', key).ok
  if found == 'none' or found == kind then return true end
  problems[#problems + 1] = {'type', key, found}
end

local function has_group()
  if redis.call('EXISTS', queue) == 0 then return false end
  for _, each in ipairs(redis.call('XINFO', 'GROUPS', queue)) do
    if each[2] == group then return true end
  end
  return false
end

local function is_wanted(at)
  if at <= last_event then return redis.call('SISMEMBER', KEYS[at], service) == 1 end
  local owner = redis.call('GET', KEYS[at])
  if owner and owner ~= service then
    problems[#problems + 1] = {'owner', tostring(at - 4), owner}
    return true
  end
  return owner ~= false
end

if not (wants(mark, 'string') and wants(queue, 'stream') and wants(store_key, 'string')) then
  return {'', problems}
end
local missing = {}
if receives then
  local fed = redis.call('GET', store_key)
  if store ~= '' and fed ~= store then
    if fed and not move then problems[#problems + 1] = {'store', '', ''} end
    if not fed then missing[#missing + 1] = {'no store', '', ''} end
  end
  if not has_group() then missing[#missing + 1] = {'no queue', '', ''} end
  for at = 5, #KEYS do
    if wants(KEYS[at], at <= last_event and 'set' or 'string') and not is_wanted(at) then
      missing[#missing + 1] = {'no receiver', tostring(at - 4), ''}
    end
  end
end
if not make then
  for _, each in ipairs(missing) do problems[#problems + 1] = each end
end
local found = redis.call('GET', mark) or ''
if #problems > 0 then return {found, problems} end
if make and found == '' then
  redis.call('SET', mark, new_mark)
  found = new_mark
end
for _, each in ipairs(missing) do
  local at = 4 + (tonumber(each[2]) or 0)
  if each[1] == 'no queue' then redis.call('XGROUP', 'CREATE', queue, group, '0', 'MKSTREAM')
  elseif each[1] == 'no receiver' and at <= last_event then redis.call('SADD', KEYS[at], service)
  elseif each[1] == 'no receiver' then redis.call('SET', KEYS[at], service) end
end
if receives and store ~= '' and redis.call('GET', store_key) ~= store then redis.call('SET', store_key, store) end
return {found, problems}
