-- ARGV[3..]: id, the last sequence seen, events wanted. Returns state, last sequence and the events.
local job = redis.call('HMGET', base .. 'job:' .. ARGV[3], 'state', 'sequence')
if not job[1] then
  return false
end
return { job[1], job[2], redis.call('XRANGE', base .. 'events:' .. ARGV[3], '(0-' .. ARGV[4], '+', 'COUNT', ARGV[5]) }
