-- ARGV[3..]: key, microseconds a request takes from the quota, microseconds of the whole quota, and the time in
-- microseconds (only in tests). Returns whether it is allowed, then how far the quota is used up after it.
-- The same as `rate::decide`, number by number.
local key, step, whole = base .. 'rate:' .. ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5])
local time = tonumber(ARGV[6])
if not time then
  local clock = redis.call('TIME')
  time = clock[1] * 1000000 + clock[2]
end
local used = math.max(0, (tonumber(redis.call('GET', key) or '0')) - time)
-- More than the whole comes from a clock that went back or a quota that shrank.
used = math.min(used, whole)
local allowed = used + step <= whole
if allowed then
  used = used + step
  redis.call('SET', key, int(time + used), 'PX', int(math.ceil(used / 1000)))
end
return { allowed and 1 or 0, int(used) }
