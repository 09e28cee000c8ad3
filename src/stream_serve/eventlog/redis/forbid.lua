-- Forbids a name for a while, unless a log has it.
--
-- KEYS[1]  stream-serve:{name}:log        HASH    exists if the log exists
-- KEYS[2]  stream-serve:{name}:forbidden  STRING  checked by claim.lua
-- ARGV     milliseconds
--
-- Returns 1, or 0 when the log exists.

if redis.call('EXISTS', KEYS[1]) == 1 then
  return 0
end
redis.call('SET', KEYS[2], '1', 'PX', ARGV[1])
return 1
