-- ARGV[3]: key. Returns the value.
local value = redis.call('GET', base .. 'cache:' .. ARGV[3])
if value then
  -- A full memory refuses to note it, which is no reason to keep the value back.
  local use = redis.pcall('INCR', base .. 'cache-clock')
  if type(use) == 'number' then
    redis.pcall('ZADD', base .. 'cache-used', 'XX', int(use), ARGV[3])
  end
end
return value
