-- ARGV[3..]: id, fence, number of the batch within the lease (0: unknown), then kind and data of each event.
local id, batch = ARGV[3], tonumber(ARGV[5])
if not held(id, ARGV[4]) then
  return 0
end
-- The same batch again, after its answer was lost.
if batch > 0 then
  local fence, last = string.match(redis.call('HGET', base .. 'job:' .. id, 'batch') or '', '(%d+):(%d+)')
  if fence == ARGV[4] and batch <= tonumber(last) then
    return 1
  end
end
local sequence
for i = 6, #ARGV, 2 do
  sequence = add_event(id, ARGV[i], ARGV[i + 1])
end
if sequence then
  redis.call('HSET', base .. 'job:' .. id, 'batch', ARGV[4] .. ':' .. int(batch))
  news('event ' .. id .. ' ' .. sequence)
end
return 1
