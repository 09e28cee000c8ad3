-- Make commits, each of them as a whole or not at all.
--
-- KEYS[1]  stream-serve:streams:due                  ZSET: all streams, by when they are due
-- and for each commit
--   KEYS   stream-serve:{<owner>}:streams            HASH: how many `streams`, how many `bytes`
--   and for each of its changes
--     KEYS stream-serve:{<owner>}:stream:<path>      HASH: `v` the version, `s` the state
--     KEYS stream-serve:{<data>}:chunks              HASH: whole chunks by their number
--     KEYS stream-serve:{<data>}:tail                STRING: what follows the last chunk
-- ARGV[1]  the bytes of a chunk
-- ARGV[2]  who makes the commits: it is published where a stream changes
-- ARGV[3]  the number of commits
-- and for each commit
--   ARGV   the number of its changes, the growth of `streams` and of `bytes`, the most of each
--   and for each of its changes
--     ARGV the version that the stream has to have (0: there is none), its version then (empty: it is
--          removed), the state, the bytes to append, when it is due (empty: as before), its name in the ZSET
--
-- Returns for each commit 1; 0 if a version was another one; or {streams, bytes}, which the owner has, if
-- that would be too much.
--
-- If Redis is full, it refuses the first write of a script, and none after it: so never a part.

local chunk, me = tonumber(ARGV[1]), ARGV[2]
local key, arg = 2, 4

local function versions(count)
    for number = 0, count - 1 do
        local version = redis.call('HGET', KEYS[key + 1 + 3 * number], 'v') or '0'
        if version ~= ARGV[arg + 5 + 6 * number] then
            return false
        end
    end
    return true
end

local function excess()
    local streams, bytes = tonumber(ARGV[arg + 1]), tonumber(ARGV[arg + 2])
    if streams <= 0 and bytes <= 0 then
        return nil
    end
    local has = redis.call('HMGET', KEYS[key], 'streams', 'bytes')
    local owned, size = tonumber(has[1] or 0), tonumber(has[2] or 0)
    if (streams > 0 and owned + streams > tonumber(ARGV[arg + 3]))
        or (bytes > 0 and size + bytes > tonumber(ARGV[arg + 4])) then
        return { owned, size }
    end
    return nil
end

local function grow()
    if ARGV[arg + 2] ~= '0' then
        redis.call('HINCRBY', KEYS[key], 'bytes', ARGV[arg + 2])
    end
    if ARGV[arg + 1] ~= '0' and redis.call('HINCRBY', KEYS[key], 'streams', ARGV[arg + 1]) <= 0 then
        redis.call('DEL', KEYS[key])
    end
end

local function append(chunks, tail, data)
    if redis.call('STRLEN', tail) + #data < chunk then
        redis.call('APPEND', tail, data)
        return
    end
    local whole = (redis.call('GET', tail) or '') .. data
    local number, at = redis.call('HLEN', chunks), 1
    while at + chunk <= #whole + 1 do
        redis.call('HSET', chunks, number, string.sub(whole, at, at + chunk - 1))
        number, at = number + 1, at + chunk
    end
    if at <= #whole then
        redis.call('SET', tail, string.sub(whole, at))
    else
        redis.call('DEL', tail)
    end
end

local function change(stream, chunks, tail, first)
    if ARGV[first + 1] == '' then
        -- Redis frees a large hash in a thread of its own.
        redis.call('UNLINK', stream, chunks, tail)
        redis.call('ZREM', KEYS[1], ARGV[first + 5])
    else
        redis.call('HSET', stream, 'v', ARGV[first + 1], 's', ARGV[first + 2])
        if ARGV[first + 3] ~= '' then
            append(chunks, tail, ARGV[first + 3])
        end
        if ARGV[first + 4] ~= '' then
            redis.call('ZADD', KEYS[1], ARGV[first + 4], ARGV[first + 5])
        end
    end
    redis.call('PUBLISH', stream, me)
end

local replies = {}
for commit = 1, tonumber(ARGV[3]) do
    local count = tonumber(ARGV[arg])
    local reply = 0
    if versions(count) then
        reply = excess() or 1
    end
    if reply == 1 then
        for number = 0, count - 1 do
            local at = key + 1 + 3 * number
            change(KEYS[at], KEYS[at + 1], KEYS[at + 2], arg + 5 + 6 * number)
        end
        grow()
    end
    replies[commit] = reply
    key, arg = key + 1 + 3 * count, arg + 5 + 6 * count
end
return replies
