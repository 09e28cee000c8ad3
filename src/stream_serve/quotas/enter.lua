-- Count a run of an owner's, unless it has as many as it may have.
--
-- KEYS[1]  stream-serve:{<owner>}:runs   ZSET: name of a run, by the time in ms at which it counts no more
-- ARGV[1]  the name of the run
-- ARGV[2]  how many the owner may have
-- ARGV[3]  for how many ms the run counts
--
-- Gives 1 if it counts, 0 if not. What a process that was killed never took out ends by its time, which
-- is that of Redis.

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
local has = redis.call('ZCARD', KEYS[1])
if has >= tonumber(ARGV[2]) and not redis.call('ZSCORE', KEYS[1], ARGV[1]) then
    return 0
end
redis.call('ZADD', KEYS[1], now + ARGV[3], ARGV[1])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return 1
