-- Count a run of an owner, unless the owner has as many runs as it may have.
--
-- KEYS[1]  stream-serve:{<owner>}:runs   ZSET: name of a run, by the time in ms at which it stops counting
-- ARGV[1]  the name of the run
-- ARGV[2]  how many the owner may have
-- ARGV[3]  for how many ms the run counts
--
-- Returns 1 if the run counts, 0 if not. A run whose process was killed stops counting by its time. The
-- clock is that of Redis.

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
