-- ARGV[3..]: id, fence, state, result or error as JSON, whether it may be tried again, the wait
-- before the second try in ms.
local job = held(ARGV[3], ARGV[4])
local state, value, again = ARGV[5], ARGV[6], ARGV[7] == '1'
if not job then
  return 0
end
local time, errors = now(), job.attempts - job.deaths
if state == 'failed' and job.cancel == '1' then
  end_job(job, 'cancelled', '', time)
elseif state == 'failed' and again and errors < tonumber(job.max) then
  give_back(job, time, time + math.min(60000, ARGV[8] * 2 ^ (errors - 1)))
  redis.call('HSET', base .. 'job:' .. job.id, 'last', value)
else
  end_job(job, state, value, time)
  if state == 'failed' and again then
    redis.call('SADD', base .. 'parked', job.id)
  end
end
return 1
