#!lua flags=allow-oom
-- KEYS: queue, lease
-- ARGV: group, token, milliseconds, ids
if redis.call('GET', KEYS[2]) ~= ARGV[2] then return {'FENCED'} end
redis.call('PEXPIRE', KEYS[2], ARGV[3])
for at = 4, #ARGV, 1000 do
  local last = math.min(at + 999, #ARGV)
  redis.call('XACK', KEYS[1], ARGV[1], unpack(ARGV, at, last))
  redis.call('XDEL', KEYS[1], unpack(ARGV, at, last))
end
return {'OK'}
