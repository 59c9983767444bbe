-- ARGV[3..]: key, microseconds that the requests take from the quota (below 0 when they are given back), microseconds of
-- the whole quota, and the time in microseconds (only in tests). Returns whether they are allowed, then how far the
-- quota is used up after them.
-- The same as `rate::decide`, number by number.
local key, taken, whole = base .. 'rate:' .. ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5])
local time = tonumber(ARGV[6])
if not time then
  local clock = redis.call('TIME')
  time = clock[1] * 1000000 + clock[2]
end
local used = math.max(0, (tonumber(redis.call('GET', key) or '0')) - time)
-- More than the whole comes from a clock that went back or a quota that shrank.
used = math.min(used, whole)
local after = math.max(0, used + taken)
local allowed = after <= whole
if allowed then
  used = after
  if used > 0 then
    redis.call('SET', key, int(time + used), 'PX', int(math.ceil(used / 1000)))
  else
    redis.call('DEL', key)
  end
end
return { allowed and 1 or 0, int(used) }
