-- ARGV[3..]: id, fence, progress as JSON, updates seen so far. Returns whether the lease holds, whether somebody asked to cancel, how many updates were handed out before these, and the updates.
local id, key = ARGV[3], base .. 'job:' .. ARGV[3]
local job = held(id, ARGV[4])
if not job then
  return { 0, 0, 0, {} }
end
redis.call('XCLAIM', base .. 'stream:' .. job.place, 'workers', job.worker, 0, job.entry, 'JUSTID')
redis.call('HSET', key, 'progress', ARGV[5])
-- Updates stay until the next heartbeat says that they came through.
local taken = tonumber(redis.call('HGET', key, 'taken'))
local seen = math.max(taken, tonumber(ARGV[6]))
if seen > taken then
  redis.call('LTRIM', base .. 'updates:' .. id, seen - taken, -1)
  redis.call('HSET', key, 'taken', seen)
end
return { 1, tonumber(job.cancel), seen, redis.call('LRANGE', base .. 'updates:' .. id, 0, -1) }
