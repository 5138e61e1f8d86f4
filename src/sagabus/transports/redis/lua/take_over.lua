#!lua flags=allow-oom
-- KEYS: queue, lease
-- ARGV: group, consumer, token, milliseconds, then the tokens of links that have ended
local queue, lease, group, consumer, token = KEYS[1], KEYS[2], ARGV[1], ARGV[2], ARGV[3]
local holder = redis.call('GET', lease)
local is_free = not holder or holder == token
for at = 5, #ARGV do is_free = is_free or holder == ARGV[at] end
if not is_free then return {0, redis.call('PTTL', lease)} end
local cursor, deleted = '0-0', 0
repeat
  local found = redis.call('XAUTOCLAIM', queue, group, consumer, 0, cursor, 'COUNT', 1000, 'JUSTID')
  cursor, deleted = found[1], deleted + #(found[3] or {})
until cursor == '0-0'
redis.call('SET', lease, token, 'PX', ARGV[4])
return {1, deleted}
