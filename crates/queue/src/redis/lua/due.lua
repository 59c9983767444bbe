-- ARGV[3..]: how many, how long they are the caller's in ms. Returns id, job, webhook and tries of each.
local time, due = now(), {}
for _, id in ipairs(redis.call('ZRANGEBYSCORE', base .. 'deliveries', '-inf', int(time), 'LIMIT', 0, ARGV[3])) do
  local is = redis.call('HMGET', base .. 'delivery:' .. id, 'job', 'hook', 'attempts')
  if is[1] then
    redis.call('ZADD', base .. 'deliveries', int(time + ARGV[4]), id)
    -- Counted now: a call that takes the process down is a try as well.
    redis.call('HINCRBY', base .. 'delivery:' .. id, 'attempts', 1)
    due[#due + 1] = { id, is[1], is[2], is[3] }
  else
    redis.call('ZREM', base .. 'deliveries', id)
  end
end
return due
