-- ARGV[3]: id. Returns the job as it is then.
local job = load(ARGV[3])
if not job then
  return {}
end
if job.state == 'queued' then
  end_job(job, 'cancelled', '', now())
elseif job.state == 'running' and job.cancel ~= '1' then
  redis.call('HSET', base .. 'job:' .. job.id, 'cancel', '1')
  news('control ' .. job.id)
end
return redis.call('HGETALL', base .. 'job:' .. job.id)
