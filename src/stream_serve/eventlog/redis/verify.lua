-- Finds out how much of a log Redis has, and begins the log again when Redis has lost a part of it.
--
-- A log that is missing, or shorter than Redis has acknowledged, begins again in an empty stream, under
-- the next epoch. The writer has all frames and writes them again. Readers see the new epoch and go on
-- from where they are.
--
-- KEYS[1]  stream-serve:{name}:log                  HASH    epoch, process, about, note
-- KEYS[2]  stream-serve:{name}:frames:<epoch>       STREAM  as the writer knows it
-- KEYS[3]  stream-serve:{name}:frames:<next epoch>  STREAM  where the log begins again
-- KEYS[4]  stream-serve:{name}:erased               STRING  the birth mark of a log that was erased
-- ARGV     epoch, next epoch, process, fingerprint, milliseconds that the keys live at most,
--          number of the last frame that was acknowledged, '1' when its end was acknowledged
--
-- Returns {'lost'} when another process has the log, or has erased it, else {'ok', epoch, number of the last frame,
-- 1 when the stream has its end}.

-- The number of the last frame, and whether the log's end is there.
local function tail(key)
  local entry = redis.call('XREVRANGE', key, '+', '-', 'COUNT', 1)[1]
  if not entry then
    return 0, 0
  end
  local count, finished = 1, 0
  for i = 1, #entry[2], 2 do
    if entry[2][i] == 'n' then
      count = #entry[2][i + 1] / 4
    elseif entry[2][i] == 'e' then
      finished = 1
    end
  end
  return tonumber(string.match(entry[1], '^%d+')) + count - 1, finished
end

local epoch = redis.call('HGET', KEYS[1], 'epoch')
if epoch and epoch ~= ARGV[1] and epoch ~= ARGV[2] then
  return {'lost'}
end
if redis.call('GET', KEYS[4]) == string.match(ARGV[1], '^[^.]*') then
  return {'lost'}
end
local key = epoch == ARGV[2] and KEYS[3] or KEYS[2]
if epoch and redis.call('EXISTS', key) == 1 then
  local last, finished = tail(key)
  -- In the next epoch's stream nothing has been written yet: the reply to an earlier call was lost.
  local whole = last >= tonumber(ARGV[6]) and (ARGV[7] ~= '1' or finished == 1)
  if whole or epoch == ARGV[2] then
    redis.call('PEXPIRE', KEYS[1], ARGV[5])
    redis.call('PEXPIRE', key, ARGV[5])
    return {'ok', epoch, last, finished}
  end
end

-- The write that a full Redis refuses comes first: a failed script does not undo its earlier writes.
redis.call('HSET', KEYS[1], 'epoch', ARGV[2], 'process', ARGV[3], 'about', ARGV[4], 'note', '')
redis.call('HDEL', KEYS[1], 'ended')
redis.call('DEL', KEYS[2], KEYS[3])
redis.call('XGROUP', 'CREATE', KEYS[3], 'empty', '0', 'MKSTREAM')
redis.call('XGROUP', 'DESTROY', KEYS[3], 'empty')
redis.call('PEXPIRE', KEYS[1], ARGV[5])
redis.call('PEXPIRE', KEYS[3], ARGV[5])
return {'ok', ARGV[2], 0, 0}
