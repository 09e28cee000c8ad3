-- Writes the summary of a log, its last frames and how long both are kept, for the owner of its epoch.
--
-- KEYS[1]  stream-serve:{name}:log             HASH    epoch, note, ended
-- KEYS[2]  stream-serve:{name}:frames:<epoch>  STREAM  d, n, e, g (see `flusher.py`)
-- ARGV     epoch, summary, milliseconds from now that the keys are kept ('' while the log goes on, '0'
--          to forget it now), number of the first of the last frames ('' when the writer added them
--          itself), these frames joined, their lengths as little-endian uint32
--
-- Returns 1, or 0 without any effect when the log has another epoch. Repeating it is fine.

if redis.call('HGET', KEYS[1], 'epoch') ~= ARGV[1] then
  return 0
end
if ARGV[3] == '0' then
  redis.call('DEL', KEYS[1], KEYS[2])
  return 1
end
if ARGV[4] ~= '' and redis.call('HEXISTS', KEYS[1], 'ended') == 0 then
  if redis.call('EXISTS', KEYS[2]) == 0 then
    return 0
  end
  local last = 0
  local entry = redis.call('XREVRANGE', KEYS[2], '+', '-', 'COUNT', 1)[1]
  if entry then
    local count = 1
    for i = 1, #entry[2], 2 do
      if entry[2][i] == 'n' then
        count = #entry[2][i + 1] / 4
      end
    end
    last = tonumber(string.match(entry[1], '^%d+')) + count - 1
  end
  local fields = {'d', ARGV[5], 'n', ARGV[6], 'e', '1'}
  if tonumber(ARGV[4]) > last + 1 then
    fields[7], fields[8] = 'g', '1'
  end
  redis.call('XADD', KEYS[2], ARGV[4] .. '-0', unpack(fields))
end
redis.call('HSET', KEYS[1], 'note', ARGV[2])
if ARGV[3] ~= '' then
  redis.call('HSET', KEYS[1], 'ended', '1')
  redis.call('PEXPIRE', KEYS[1], ARGV[3])
  redis.call('PEXPIRE', KEYS[2], ARGV[3])
end
return 1
