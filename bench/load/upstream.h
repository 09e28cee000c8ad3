/* The parts of the upstream: `upstream.c` moves bytes, `answer.c` knows what they say. */
#ifndef BENCH_UPSTREAM_H
#define BENCH_UPSTREAM_H

#include "common.h"
#include "timers.h"

#define IN_MAX 65536
#define OUT_MAX 65536
#define EVENT_MAX 512 /* the longest event of a stream, with its framing */
#define MARK_MAX 64

/* What a stream sends: an event with a stamp in it, as one HTTP chunk of constant length. */
struct answer {
    uint64_t tokens, sent;
    int64_t asked_at, interval;
    bool usage, behind;
    char mark[MARK_MAX + 1];
    char token[EVENT_MAX];
    size_t token_length, stamp_at;
    char base[EVENT_MAX]; /* what every event begins with */
};

struct connection {
    struct timer timer; /* first, so that a timer is its connection */
    int fd;
    bool streaming, gone;
    size_t in_length, out_begin, out_end;
    char in[IN_MAX];
    char out[OUT_MAX];
    struct answer answer;
};

struct totals {
    uint64_t requests, tokens, finished, closed_early, open;
    int64_t most_late; /* of a token, because this program was not fast enough */
};

extern struct totals totals;

/* Answer the whole requests in `in`, as long as no stream runs. */
void answer_requests(struct connection *connection);

/* Write one token if it is due, and the end after the last; false when `out` has no room. */
bool answer_token(struct connection *connection, int64_t now);

/* Take note that the peer closed the connection in the middle of a stream. */
void answer_closed(const struct connection *connection, int64_t now);

#endif
