-- ARGV[3..]: id, worker as JSON, or nothing to ask; then how long a worker is remembered in ms. Forgets the silent ones;
-- returns when each was seen and what it told.
local time, told = now(), {}
if ARGV[3] ~= '' then
  redis.call('HSET', base .. 'workers', ARGV[3], ARGV[4])
  redis.call('ZADD', base .. 'seen', int(time), ARGV[3])
end
for _, id in ipairs(redis.call('ZRANGEBYSCORE', base .. 'seen', '-inf', int(time - ARGV[5]))) do
  redis.call('ZREM', base .. 'seen', id)
  redis.call('HDEL', base .. 'workers', id)
end
local seen = redis.call('ZRANGE', base .. 'seen', 0, -1, 'WITHSCORES')
for i = 1, #seen, 2 do
  told[#told + 1] = { seen[i + 1], redis.call('HGET', base .. 'workers', seen[i]) }
end
return told
