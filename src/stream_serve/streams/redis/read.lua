-- Return the bytes of a data from one position to another, in pieces; fewer where there are no more.
--
-- KEYS[1]  stream-serve:{<data>}:chunks   HASH: whole chunks by their number
-- KEYS[2]  stream-serve:{<data>}:tail     STRING: what follows the last chunk
-- ARGV[1]  the bytes of a chunk
-- ARGV[2]  the position of the first byte
-- ARGV[3]  the position after the last byte
--
-- In one step, because an append moves bytes from the tail into a chunk.

local chunk, first, last = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local whole = redis.call('HLEN', KEYS[1])
local pieces = {}
for number = math.floor(first / chunk), math.min(whole, math.floor((last - 1) / chunk)) do
    local from, to = math.max(0, first - number * chunk), math.min(chunk, last - number * chunk)
    if number == whole then
        pieces[#pieces + 1] = redis.call('GETRANGE', KEYS[2], from, to - 1)
    else
        local piece = redis.call('HGET', KEYS[1], number)
        pieces[#pieces + 1] = to - from < chunk and string.sub(piece, from + 1, to) or piece
    end
end
return pieces
