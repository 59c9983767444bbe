-- Returns queued and running of each lane in ARGV[3..], then ended, parked and deliveries.
local numbers = {}
for i = 3, #ARGV do
  numbers[#numbers + 1] = count_waiting(ARGV[i])
  numbers[#numbers + 1] = redis.call('SCARD', base .. 'running:' .. ARGV[i])
end
numbers[#numbers + 1] = redis.call('ZCARD', base .. 'ended')
numbers[#numbers + 1] = redis.call('SCARD', base .. 'parked')
numbers[#numbers + 1] = redis.call('ZCARD', base .. 'deliveries')
return numbers
