-- Comes before every script. A script runs alone, so what it does happens in one step.
-- KEYS[1]: what all names begin with; it holds a hash tag, so all names lie in one slot of a cluster.
-- ARGV[1]: events kept a job. ARGV[2]: how long events are kept after the end of their job, ms.
--
-- A script that meets a full memory is refused at its first write that needs space, and not after that. So a script
-- that stores new work begins with such a write, and one that ends work begins with one that needs none.
local base = KEYS[1] .. ':'
local kept, ttl = ARGV[1], ARGV[2]

local function now()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

-- Lua writes large numbers with an exponent and 14 digits.
local function int(number)
  return string.format('%.0f', number)
end

local function news(text)
  redis.call('PUBLISH', base .. 'news', text)
end

local FIELDS = {
  'state', 'fence', 'lane', 'priority', 'whose', 'place', 'entry', 'attempts', 'max', 'cancel', 'hook', 'wants',
  'deadline', 'last', 'worker', 'deaths',
}

-- As `retry::SUSPECT`.
local function is_suspect(job)
  return tonumber(job.deaths or 0) >= 2
end

local function wake_all()
  for _, lane in ipairs({ 'midi', 'generation', 'heavy', 'audio' }) do
    news('work ' .. lane)
  end
end

-- What scripts need of a job; nil if there is none.
local function load(id)
  local values = redis.call('HMGET', base .. 'job:' .. id, unpack(FIELDS))
  if not values[1] then
    return nil
  end
  local job = { id = id }
  for i, name in ipairs(FIELDS) do
    job[name] = values[i]
  end
  job.group = job.lane .. ':' .. job.priority
  return job
end

-- The job if `fence` is the right to run it, else nil.
local function held(id, fence)
  local job = load(id)
  if job and job.state == 'running' and job.fence == fence then
    return job
  end
  return nil
end

local function add_event(id, kind, data)
  local sequence = redis.call('HINCRBY', base .. 'job:' .. id, 'sequence', 1)
  redis.call('XADD', base .. 'events:' .. id, 'MAXLEN', '=', kept, '0-' .. sequence, 'kind', kind, 'data', data)
  return sequence
end

-- Puts a job whose hash says `queued` at the end of the stream of `whose` (an owner, or `front`). Suspects have one of
-- their own, so that whoever cannot take them sees it before it has read them.
local function enqueue(job, whose)
  local place = job.group .. ':' .. (is_suspect(job) and 'suspect' or whose)
  local stream, turn = base .. 'stream:' .. place, base .. 'turn:' .. job.group
  if redis.call('EXISTS', stream) == 0 then
    redis.call('XGROUP', 'CREATE', stream, 'workers', '0', 'MKSTREAM')
  end
  local entry = redis.call('XADD', stream, '*', 'job', job.id)
  local number = redis.call('INCR', base .. 'counter')
  redis.call('HSET', base .. 'job:' .. job.id, 'place', place, 'entry', entry)
  if is_suspect(job) then
    redis.call('ZADD', base .. 'suspects:' .. job.group, number, job.id)
    redis.call('ZADD', base .. 'queue:' .. job.group, int(number - 1e15), job.id)
  elseif whose == 'front' then
    redis.call('ZADD', turn, 0, place)
    redis.call('ZADD', base .. 'queue:' .. job.group, int(number - 1e15), job.id)
  else
    redis.call('ZADD', turn, 'NX', number, place)
    redis.call('ZADD', base .. 'queue:' .. job.group, number, job.id)
  end
  if job.deadline ~= '' then
    redis.call('ZADD', base .. 'deadlines', job.deadline, job.id)
  end
  news('work ' .. job.lane)
end

-- Jobs that are tried again and whose wait is over go to the back.
local function enqueue_due(lane, time)
  local later = base .. 'later:' .. lane
  local due = redis.call('ZRANGEBYSCORE', later, '-inf', int(time), 'LIMIT', 0, 100)
  for _, id in ipairs(due) do
    redis.call('ZREM', later, id)
    local job = load(id)
    if job and job.state == 'queued' and job.place == '' then
      enqueue(job, job.whose)
    end
  end
  return #due
end

-- Jobs of a lane that wait, those for another try among them.
local function count_waiting(lane)
  local waiting = redis.call('ZCARD', base .. 'later:' .. lane)
  for priority = 0, 9 do
    waiting = waiting + redis.call('ZCARD', base .. 'queue:' .. lane .. ':' .. priority)
  end
  return waiting
end

-- Takes a job's entry out of its stream, and the stream away with its last entry.
local function drop_entry(job)
  if job.place == '' then
    return
  end
  local stream = base .. 'stream:' .. job.place
  if redis.call('EXISTS', stream) == 0 then
    return
  end
  redis.call('XACK', stream, 'workers', job.entry)
  redis.call('XDEL', stream, job.entry)
  if redis.call('XLEN', stream) == 0 then
    redis.call('DEL', stream)
    redis.call('ZREM', base .. 'turn:' .. job.group, job.place)
    redis.call('SREM', base .. 'leased', job.place)
  end
end

-- A job that ran leaves its worker, which may have waited for that.
local function leave(job)
  if job.state ~= 'running' then
    return
  end
  redis.call('SREM', base .. 'running:' .. job.lane, job.id)
  redis.call('SREM', base .. 'held:' .. job.worker, job.id)
  if is_suspect(job) or redis.call('EXISTS', base .. 'quiet') == 1 then
    wake_all()
  end
end

-- Ends a job: `value` is its result or its error as JSON.
local function end_job(job, state, value, time)
  local id, key = job.id, base .. 'job:' .. job.id
  drop_entry(job)
  redis.call('ZREM', base .. 'queue:' .. job.group, id)
  redis.call('ZREM', base .. 'later:' .. job.lane, id)
  redis.call('ZREM', base .. 'suspects:' .. job.group, id)
  redis.call('ZREM', base .. 'deadlines', id)
  leave(job)
  redis.call('SREM', base .. 'owner:' .. job.whose, id)
  redis.call('DEL', base .. 'updates:' .. id)
  redis.call('HSET', key, 'state', state, 'finished', int(time))
  if state == 'complete' then
    redis.call('HSET', key, 'result', value)
  elseif state == 'failed' then
    redis.call('HSET', key, 'error', value)
  end
  redis.call('ZADD', base .. 'ended', int(time), id)
  -- What there is to say stands in the job.
  local sequence = add_event(id, state, '{}')
  redis.call('PEXPIRE', base .. 'events:' .. id, ttl)
  if job.hook and string.find(job.wants, state, 1, true) then
    local delivery = 'msg_' .. id
    redis.call('HSET', base .. 'delivery:' .. delivery, 'job', id, 'hook', job.hook, 'attempts', 0)
    redis.call('ZADD', base .. 'deliveries', int(time), delivery)
  end
  news('event ' .. id .. ' ' .. sequence)
end

-- Puts a running job back, to the front of its priority or until `later`; or ends it if somebody asked to cancel it.
-- `deaths`: how many it has seen then.
local function give_back(job, time, later, deaths)
  if job.cancel == '1' then
    end_job(job, 'cancelled', '', time)
    return false
  end
  drop_entry(job)
  leave(job)
  job.deaths = deaths or job.deaths
  redis.call('HSET', base .. 'job:' .. job.id, 'state', 'queued', 'place', '', 'entry', '', 'deaths', job.deaths)
  redis.call('HDEL', base .. 'job:' .. job.id, 'progress', 'started')
  if later then
    redis.call('ZADD', base .. 'later:' .. job.lane, int(later), job.id)
    if job.deadline ~= '' then
      redis.call('ZADD', base .. 'deadlines', job.deadline, job.id)
    end
  else
    enqueue(job, 'front')
  end
  return true
end

-- A job for lists: without its result and without a long request.
local BRIEF = { 'new', 'state', 'attempts', 'deaths', 'progress', 'error', 'cancel', 'worker', 'created', 'started', 'finished' }
local function brief(key)
  local flat, values = {}, redis.call('HMGET', key, unpack(BRIEF))
  for i, name in ipairs(BRIEF) do
    if values[i] then
      flat[#flat + 1] = name
      flat[#flat + 1] = values[i]
    end
  end
  local bytes = redis.call('HSTRLEN', key, 'request')
  flat[#flat + 1] = 'request'
  -- As `queue::LISTED_BYTES`.
  flat[#flat + 1] = bytes > 65536 and '{"omitted_bytes":' .. bytes .. '}' or redis.call('HGET', key, 'request')
  return flat
end

-- What an idempotency key says: nil if it is unknown, else what it is, the job's id and the job.
local function replay(idem, print)
  local known = redis.call('HMGET', base .. 'idem:' .. idem, 'id', 'print')
  local flat = known[1] and redis.call('HGETALL', base .. 'job:' .. known[1])
  if not flat or #flat == 0 then
    return nil
  end
  if known[2] ~= print then
    return { 'reused', known[1], {} }
  end
  return { 'replayed', known[1], flat }
end

local function past_deadline(job, time)
  return job.deadline ~= '' and tonumber(job.deadline) <= time
end

local function expire(job, time)
  -- The words of `retry::past_deadline`.
  local text = 'the task was still waiting at its deadline'
  end_job(job, 'failed', cjson.encode({ code = 'deadline', message = text, field = cjson.null }), time)
end

-- Jobs that go before a queued one, about; false if it does not wait. In turns, nobody waits for more than one job of
-- each other owner for each of its owner's own jobs.
local function position(id)
  local job = load(id)
  if not job or job.state ~= 'queued' then
    return false
  end
  local before = 0
  for priority = job.priority + 1, 9 do
    before = before + redis.call('ZCARD', base .. 'queue:' .. job.lane .. ':' .. priority)
  end
  local queue = base .. 'queue:' .. job.group
  if job.place == '' then
    return before + redis.call('ZCARD', queue)
  end
  local stream = base .. 'stream:' .. job.place
  local group, last = redis.call('XINFO', 'GROUPS', stream)[1], '0-0'
  for i = 1, #group, 2 do
    if group[i] == 'last-delivered-id' then
      last = group[i + 1]
    end
  end
  local most = 1000
  local own = #redis.call('XRANGE', stream, '(' .. last, job.entry, 'COUNT', most)
  if job.place == job.group .. ':front' or job.place == job.group .. ':suspect' then
    return before + math.max(0, own - 1)
  end
  local rank = redis.call('ZRANK', queue, id) or 0
  -- So far back, counting turns would cost more than it tells.
  if own == most then
    return before + rank
  end
  local turns = own * redis.call('ZCARD', base .. 'turn:' .. job.group) - 1
  turns = turns + redis.call('ZCARD', base .. 'suspects:' .. job.group)
  return before + math.max(0, math.min(rank, turns))
end
