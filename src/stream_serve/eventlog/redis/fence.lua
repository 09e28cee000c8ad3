-- Takes an unfinished log from a process whose lease has run out.
--
-- The stream gets a new key. The old writer adds to the old one, with NOMKSTREAM: nothing of that
-- reaches the log any more. Of several processes that try, one has the log for a while.
--
-- KEYS[1]  stream-serve:{name}:log                  HASH    epoch, process, ended; by, until: who
--                                                           finishes the log, and how long it may
-- KEYS[2]  stream-serve:{name}:frames:<epoch>       STREAM  the frames so far
-- KEYS[3]  stream-serve:{name}:frames:<next epoch>  STREAM  their new place
-- ARGV     process that is gone, its epoch, next epoch, process that asks, milliseconds that it may
--          take, milliseconds that finished logs are kept
--
-- Answers 'taken'; 'busy' when another one is at it; 'gone' when there is nothing to finish.

local epoch, process, ended, by, limit =
  unpack(redis.call('HMGET', KEYS[1], 'epoch', 'process', 'ended', 'by', 'until'))
if not epoch or process ~= ARGV[1] or ended then
  return 'gone'
end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
if epoch ~= ARGV[2] or (by and by ~= ARGV[4] and now < tonumber(limit)) then
  return 'busy'
end
if redis.call('EXISTS', KEYS[2]) == 0 then
  -- The frames were lost, and nobody is left who has them: no end may make this look whole.
  redis.call('DEL', KEYS[1])
  return 'gone'
end
local entry = redis.call('XREVRANGE', KEYS[2], '+', '-', 'COUNT', 1)[1]
if entry then
  for i = 1, #entry[2], 2 do
    if entry[2][i] == 'e' then
      -- The writer finished it, and had no time to say so.
      redis.call('HSET', KEYS[1], 'ended', '1')
      redis.call('PEXPIRE', KEYS[1], ARGV[6])
      redis.call('PEXPIRE', KEYS[2], ARGV[6])
      return 'gone'
    end
  end
end
redis.call('HSET', KEYS[1], 'epoch', ARGV[3], 'by', ARGV[4], 'until', now + tonumber(ARGV[5]))
redis.call('RENAME', KEYS[2], KEYS[3])
return 'taken'
