-- ARGV[3..]: before when, how many, how many that may not go yet to pass over, bytes of results at most. Returns how
-- many were looked at, how many of them may not go yet, and the jobs that are gone.
local jobs, kept_on, bytes, most = {}, 0, 0, tonumber(ARGV[6])
local ids = redis.call('ZRANGEBYSCORE', base .. 'ended', '-inf', '(' .. ARGV[3], 'LIMIT', ARGV[5], ARGV[4])
local looked = 0
for _, id in ipairs(ids) do
  if bytes >= most then
    break
  end
  looked = looked + 1
  local key = base .. 'job:' .. id
  local is = redis.call('HMGET', key, 'whose', 'idem')
  local remembered = is[2] and redis.call('HGET', base .. 'idem:' .. is[2], 'id') == id
  if remembered or redis.call('EXISTS', base .. 'delivery:msg_' .. id) == 1 then
    kept_on = kept_on + 1
  else
    if is[1] then
      local flat, result = brief(key), redis.call('HGET', key, 'result')
      if result then
        flat[#flat + 1] = 'result'
        flat[#flat + 1] = result
        bytes = bytes + #result
      end
      jobs[#jobs + 1] = flat
      redis.call('ZREM', base .. 'list:' .. is[1], id)
    end
    redis.call('DEL', key, base .. 'events:' .. id, base .. 'updates:' .. id)
    redis.call('ZREM', base .. 'list', id)
    redis.call('SREM', base .. 'parked', id)
    redis.call('ZREM', base .. 'ended', id)
  end
end
return { looked, kept_on, jobs }
