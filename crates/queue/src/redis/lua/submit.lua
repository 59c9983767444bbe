-- ARGV[3..]: id, lane, priority, whose, kind, job as JSON, deadline, tries, webhook, states it wants, name of the
-- idempotency key, its fingerprint, how long it is kept in ms, limit of the lane, limit of the owner,
-- request as JSON.
-- Returns what became of it, a number or an id that belongs to it, and the job.
local id, lane, priority, whose, kind, json, deadline, max, hook, wants = unpack(ARGV, 3, 12)
local idem, print, keep, lane_limit, owner_limit, request = unpack(ARGV, 13, 18)
local key = base .. 'job:' .. id

-- The same submission again, after its answer was lost.
if redis.call('EXISTS', key) == 1 then
  return { 'replayed', '', redis.call('HGETALL', key) }
end
if idem ~= '' then
  local known = replay(idem, print)
  if known then
    return known
  end
end
if owner_limit ~= '' and redis.call('SCARD', base .. 'owner:' .. whose) >= tonumber(owner_limit) then
  return { 'owner', owner_limit, {} }
end
if count_waiting(lane) >= tonumber(lane_limit) then
  return { 'full', lane_limit, {} }
end

local time = now()
redis.call('HSET', key, 'new', json, 'state', 'queued', 'fence', 0, 'lane', lane, 'priority', priority, 'whose', whose,
  'kind', kind, 'attempts', 0, 'max', max, 'cancel', '0', 'deadline', deadline, 'created', int(time), 'taken', 0, 'deaths', 0,
  'request', request)
if hook ~= '' then
  redis.call('HSET', key, 'hook', hook, 'wants', wants)
end
if idem ~= '' then
  redis.call('HSET', key, 'idem', idem)
  redis.call('HSET', base .. 'idem:' .. idem, 'id', id, 'print', print)
  redis.call('PEXPIRE', base .. 'idem:' .. idem, keep)
end
local job = { id = id, lane = lane, group = lane .. ':' .. priority, deadline = deadline }
enqueue(job, whose)
local number = redis.call('ZSCORE', base .. 'queue:' .. job.group, id)
redis.call('ZADD', base .. 'list', number, id)
redis.call('ZADD', base .. 'list:' .. whose, number, id)
redis.call('SADD', base .. 'owner:' .. whose, id)
local sequence = add_event(id, 'queued', '{"position":' .. int(position(id)) .. '}')
news('event ' .. id .. ' ' .. sequence)
return { 'new', '', redis.call('HGETALL', key) }
