-- ARGV[3..]: the list, where to go on (a score, or empty), the job to go on after (or empty), state, kind, jobs wanted.
-- Returns where to go on (empty at the end) and the jobs.
local list, from, after, state, kind, limit = base .. ARGV[3], ARGV[4], ARGV[5], ARGV[6], ARGV[7], tonumber(ARGV[8])
local jobs = {}
-- A job that is forgotten has no score; its name still says when it came.
local score = after ~= '' and redis.call('ZSCORE', base .. 'list', after)
local all = after == '' or score
if from == '' then
  from = score and '(' .. score or '+inf'
end
local found = redis.call('ZREVRANGEBYSCORE', list, from, '-inf', 'WITHSCORES', 'LIMIT', 0, 500)
for i = 1, #found, 2 do
  local id, key = found[i], base .. 'job:' .. found[i]
  from = '(' .. found[i + 1]
  local is = redis.call('HMGET', key, 'state', 'kind')
  if is[1] and (state == '' or is[1] == state) and (kind == '' or is[2] == kind)
    and (all or id < after) then
    jobs[#jobs + 1] = brief(key)
    if #jobs == limit then
      return { from, jobs }
    end
  end
end
return { #found == 500 and from or '', jobs }
