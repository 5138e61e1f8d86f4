#!lua flags=allow-oom
-- KEYS: lease; ARGV: token, milliseconds
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return {'FENCED'} end
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return {'OK'}
