-- Renew a process's lease, and say which processes are alive.
--
-- KEYS[1]  stream-serve:processes   ZSET: process id, by the time in ms at which its lease runs out
-- ARGV[1]  the process
-- ARGV[2]  the lease in ms
--
-- Returns {1 if the process was there, {processes whose lease ran out}, {processes with a lease}}.
-- The time is that of Redis: the clocks of the hosts need not agree.

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local was = redis.call('ZSCORE', KEYS[1], ARGV[1])
redis.call('ZADD', KEYS[1], now + ARGV[2], ARGV[1])
local run_out = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now)
local alive = redis.call('ZRANGEBYSCORE', KEYS[1], '(' .. now, '+inf')
return {was and 1 or 0, run_out, alive}
