-- ARGV[3..]: id, time until the next try in ms, or empty for none.
local key = base .. 'delivery:' .. ARGV[3]
if ARGV[4] == '' then
  redis.call('ZREM', base .. 'deliveries', ARGV[3])
  redis.call('DEL', key)
elseif redis.call('EXISTS', key) == 1 then
  redis.call('ZADD', base .. 'deliveries', int(now() + ARGV[4]), ARGV[3])
end
return 1
