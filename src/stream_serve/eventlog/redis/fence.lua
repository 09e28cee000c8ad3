-- Takes an unfinished log from a process whose lease has run out.
--
-- The stream gets a new key. The old writer adds to the old key with NOMKSTREAM, so that it reaches the
-- log no more. If several processes try, the first one has the log for a while.
--
-- KEYS[1]  stream-serve:{name}:log                  HASH    epoch, process, ended; by, until: the
--                                                           process that finishes it, its time limit
-- KEYS[2]  stream-serve:{name}:frames:<epoch>       STREAM  the frames so far
-- KEYS[3]  stream-serve:{name}:frames:<next epoch>  STREAM  their new place
-- ARGV     dead process, its epoch, next epoch, recovering process, milliseconds that it may take,
--          milliseconds that finished logs are kept
--
-- Returns 'taken'; 'busy' when another process has the log; 'gone' when nothing is left to do.

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
  -- The frames are lost for good. An end would make the log look complete.
  redis.call('DEL', KEYS[1])
  return 'gone'
end
local entry = redis.call('XREVRANGE', KEYS[2], '+', '-', 'COUNT', 1)[1]
if entry then
  for i = 1, #entry[2], 2 do
    if entry[2][i] == 'e' then
      -- The writer wrote the end, and died before it could mark the log as ended.
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
