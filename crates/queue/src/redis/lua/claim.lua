-- ARGV[3..]: worker, lane, jobs wanted, how long a worker waits to become idle for a suspect in ms. Returns how many
-- wait on that it could have, then the claimed jobs.
local worker, lane, limit, patience = ARGV[3], ARGV[4], tonumber(ARGV[5]), tonumber(ARGV[6])
local time, claims, skips = now(), {}, false
local held, quiet = base .. 'held:' .. worker, base .. 'quiet'

-- The next job of a stream; nil when all are held.
local function read(place)
  local stream = base .. 'stream:' .. place
  while redis.call('EXISTS', stream) == 1 do
    local read = redis.call('XREADGROUP', 'GROUP', 'workers', worker, 'COUNT', 1, 'STREAMS', stream, '>')
    if not read then
      return nil
    end
    redis.call('SADD', base .. 'leased', place)
    local entry, id = read[1][2][1][1], read[1][2][1][2][2]
    local job = load(id)
    if job and job.state == 'queued' and job.place == place and job.entry == entry then
      return job
    end
    -- Nobody's entry: left by hand, since each script keeps entry and job together.
    redis.call('XACK', stream, 'workers', entry)
    redis.call('XDEL', stream, entry)
  end
  return nil
end

-- The next job of the owner whose turn it is; nil when the priority has none.
local function take(group)
  local turn = base .. 'turn:' .. group
  while true do
    local place = redis.call('ZRANGE', turn, 0, 0)[1]
    if not place then
      return nil
    end
    local job = read(place)
    if not job then
      redis.call('ZREM', turn, place)
    else
      if place ~= group .. ':front' then
        redis.call('ZADD', turn, redis.call('INCR', base .. 'counter'), place)
      end
      return job
    end
  end
end

-- `false` for a job past its deadline, which is failed.
local function begin(job)
  if past_deadline(job, time) then
    expire(job, time)
    return false
  end
  local key = base .. 'job:' .. job.id
  redis.call('ZREM', base .. 'queue:' .. job.group, job.id)
  redis.call('ZREM', base .. 'suspects:' .. job.group, job.id)
  redis.call('ZREM', base .. 'deadlines', job.id)
  redis.call('SADD', base .. 'running:' .. lane, job.id)
  redis.call('SADD', held, job.id)
  redis.call('HINCRBY', key, 'fence', 1)
  redis.call('HINCRBY', key, 'attempts', 1)
  redis.call('HSET', key, 'state', 'running', 'worker', worker, 'started', int(time))
  redis.call('HDEL', key, 'progress')
  claims[#claims + 1] = redis.call('HGETALL', key)
  return true
end

local function has_suspect(group)
  return not skips and redis.call('ZCARD', base .. 'suspects:' .. group) > 0
end

-- Who becomes idle for a suspect: its worker and lane, and whether it still waits.
local function waiter()
  local is = redis.call('HMGET', quiet, 'worker', 'lane', 'till')
  return is[1], is[2], is[1] and time < tonumber(is[3])
end

-- What a suspect that is next means for a worker that runs others: `true` if the worker waits for their end. One
-- worker does at a time; the rest go on without the suspect, and after its patience this one does too, for as long.
local function wait_for_idle()
  local who, where, waits = waiter()
  if not who then
    redis.call('HSET', quiet, 'worker', worker, 'lane', lane, 'till', int(time + patience))
    redis.call('PEXPIRE', quiet, int(2 * patience))
    return true
  end
  return waits and who == worker and where == lane
end

local running = redis.call('SMEMBERS', held)
local only = #running == 1 and load(running[1])
if only and is_suspect(only) then
  return { 0, {} }
end
local who, where, waits = waiter()
local mine = waits and who == worker
if mine and where ~= lane then
  return { 0, {} }
end
enqueue_due(lane, time)
for priority = 9, 0, -1 do
  local group = lane .. ':' .. priority
  while #claims < limit and has_suspect(group) do
    if #claims > 0 then
      return { 1, claims }
    elseif #running > 0 then
      if wait_for_idle() then
        return { 0, {} }
      end
      skips = true
    else
      local job = read(group .. ':suspect')
      if not job then
        redis.call('DEL', base .. 'suspects:' .. group)
      elseif begin(job) then
        redis.call('DEL', quiet)
        return { 1, claims }
      end
    end
  end
  while #claims < limit do
    local job = take(group)
    if not job then
      break
    end
    begin(job)
  end
end
if mine then
  redis.call('DEL', quiet)
  wake_all()
end
if skips and #claims == 0 then
  return { 0, {} }
end
return { count_waiting(lane), claims }
