-- ARGV[3..]: id, parameters as JSON.
local job = load(ARGV[3])
if not job or job.state ~= 'running' then
  return 0
end
redis.call('RPUSH', base .. 'updates:' .. job.id, ARGV[4])
news('control ' .. job.id)
return 1
