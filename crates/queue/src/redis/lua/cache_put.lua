-- ARGV[3..]: key, value, how long it is fresh in ms, bytes of all values at most, bytes that each costs besides its own,
-- how many values at most.
-- Returns whether the value was kept.
local key, value, ttl, most, each = ARGV[3], ARGV[4], tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7])
local entries = tonumber(ARGV[8])
local used, ends, sizes = base .. 'cache-used', base .. 'cache-ends', base .. 'cache-sizes'
local bytes, time = #value + each, now()

local function drop(old)
  redis.call('UNLINK', base .. 'cache:' .. old)
  redis.call('ZREM', used, old)
  redis.call('ZREM', ends, old)
  local size = redis.call('HGET', sizes, old)
  if size then
    redis.call('HDEL', sizes, old)
    redis.call('DECRBY', base .. 'cache-bytes', size)
  end
end

if bytes > most then
  return 0
end
-- First, so that a full memory refuses it before anything is changed.
redis.call('SET', base .. 'cache:' .. key, value, 'PX', int(ttl))
redis.call('INCRBY', base .. 'cache-bytes', int(bytes - (tonumber(redis.call('HGET', sizes, key)) or 0)))
redis.call('HSET', sizes, key, bytes)
redis.call('ZADD', used, int(redis.call('INCR', base .. 'cache-clock')), key)
redis.call('ZADD', ends, int(time + ttl), key)
for _, old in ipairs(redis.call('ZRANGEBYSCORE', ends, '-inf', int(time), 'LIMIT', 0, 1000)) do
  drop(old)
end
while tonumber(redis.call('GET', base .. 'cache-bytes')) > most or redis.call('ZCARD', used) > entries do
  -- The new value is the last of all.
  local old = redis.call('ZRANGE', used, 0, 0)[1]
  if not old then
    redis.call('SET', base .. 'cache-bytes', 0)
    break
  end
  drop(old)
end
return 1
