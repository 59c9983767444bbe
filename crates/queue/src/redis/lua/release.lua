-- ARGV[3..]: id, fence.
local job = held(ARGV[3], ARGV[4])
if not job then
  return 0
end
give_back(job, now())
redis.call('HINCRBY', base .. 'job:' .. job.id, 'attempts', -1)
return 1
