-- Claims the name of a log for one process, and makes its empty stream.
--
-- KEYS[1]  stream-serve:{name}:log             HASH    epoch, process, about (fingerprint), note (summary)
-- KEYS[2]  stream-serve:{name}:frames:<epoch>  STREAM  created empty, so that every later XADD can have
--                                                      NOMKSTREAM: a missing stream shows the writer
--                                                      and the readers that Redis lost data
-- KEYS[3]  stream-serve:{name}:forbidden       STRING  while it exists, nobody may claim the name
-- ARGV     epoch, process, fingerprint, milliseconds that both keys live at most
--
-- Returns 'ok', 'exists' or 'forbidden'.

if redis.call('EXISTS', KEYS[1]) == 1 then
  return 'exists'
end
if redis.call('EXISTS', KEYS[3]) == 1 then
  return 'forbidden'
end
redis.call('HSET', KEYS[1], 'epoch', ARGV[1], 'process', ARGV[2], 'about', ARGV[3], 'note', '')
redis.call('XGROUP', 'CREATE', KEYS[2], 'empty', '0', 'MKSTREAM')
redis.call('XGROUP', 'DESTROY', KEYS[2], 'empty')
redis.call('PEXPIRE', KEYS[1], ARGV[4])
redis.call('PEXPIRE', KEYS[2], ARGV[4])
return 'ok'
