-- Forgets a finished log for a process that is gone, and keeps that one from writing it again if it was
-- only frozen.
--
-- KEYS[1]  stream-serve:{name}:log             HASH    epoch, process, ended
-- KEYS[2]  stream-serve:{name}:frames:<epoch>  STREAM  the frames
-- KEYS[3]  stream-serve:{name}:erased          STRING  the birth mark of its epochs, see `verify.lua`
-- ARGV     process, epoch
--
-- Returns 1, or 0 without any effect when the log is another one, goes on, or is not there.

local epoch, process, ended = unpack(redis.call('HMGET', KEYS[1], 'epoch', 'process', 'ended'))
if process ~= ARGV[1] or epoch ~= ARGV[2] or not ended then
  return 0
end
-- For as long as the log would have been kept: its writer does not have it for longer.
redis.call('SET', KEYS[3], string.match(epoch, '^[^.]*'), 'PX', math.max(redis.call('PTTL', KEYS[1]), 1))
redis.call('DEL', KEYS[1], KEYS[2])
return 1
