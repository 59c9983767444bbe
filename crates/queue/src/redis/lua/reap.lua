-- ARGV[3..]: how long a lease lasts in ms, jobs to change at most, then the lanes. Returns how many went back, were
-- parked and expired, and whether there may be more.
local idle, limit = ARGV[3], tonumber(ARGV[4])
local time, requeued, parked, expired, changed = now(), 0, 0, 0, 0

local function park(job)
  -- The words of `retry::gave_up`.
  local times = job.attempts == '1' and 'once' or job.attempts .. ' times'
  local text = 'the task was tried ' .. times .. ' and its worker stopped without an answer'
  local known, last = pcall(cjson.decode, job.last or '')
  if known and type(last) == 'table' and type(last.message) == 'string' then
    text = text .. '; the last error was: ' .. last.message
  end
  end_job(job, 'failed', cjson.encode({ code = 'gave-up', message = text, field = cjson.null }), time)
  redis.call('HSET', base .. 'job:' .. job.id, 'deaths', job.deaths + 1)
  redis.call('SADD', base .. 'parked', job.id)
end

-- An entry whose worker has been silent for too long.
local function take_back(place, stream, entry)
  changed = changed + 1
  local read = redis.call('XRANGE', stream, entry, entry)[1]
  local job = read and load(read[2][2])
  if not (job and job.state == 'running' and job.place == place and job.entry == entry) then
    redis.call('XACK', stream, 'workers', entry)
    redis.call('XDEL', stream, entry)
    return
  end
  if job.cancel ~= '1' and past_deadline(job, time) then
    expire(job, time)
    expired = expired + 1
  elseif job.cancel ~= '1' and job.deaths + 1 >= tonumber(job.max) then
    park(job)
    parked = parked + 1
  elseif give_back(job, time, nil, job.deaths + 1) then
    requeued = requeued + 1
  end
end

for _, place in ipairs(redis.call('SMEMBERS', base .. 'leased')) do
  local stream = base .. 'stream:' .. place
  if redis.call('EXISTS', stream) == 0 or redis.call('XPENDING', stream, 'workers')[1] == 0 then
    redis.call('SREM', base .. 'leased', place)
  elseif changed < limit then
    local silent = redis.call('XPENDING', stream, 'workers', 'IDLE', idle, '-', '+', limit - changed)
    for _, pending in ipairs(silent) do
      take_back(place, stream, pending[1])
    end
  end
end
for i = 5, #ARGV do
  changed = changed + enqueue_due(ARGV[i], time)
end
for _, id in ipairs(redis.call('ZRANGEBYSCORE', base .. 'deadlines', '-inf', int(time), 'LIMIT', 0, limit)) do
  local job = load(id)
  changed = changed + 1
  if job and job.state == 'queued' then
    expire(job, time)
    expired = expired + 1
  else
    redis.call('ZREM', base .. 'deadlines', id)
  end
end
return { requeued, parked, expired, changed >= limit and 1 or 0 }
