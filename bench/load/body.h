/* Reading an HTTP/1.1 response as it arrives: its head, its framing, and the stamps in its body. */
#ifndef BENCH_BODY_H
#define BENCH_BODY_H

#include "common.h"

#define HEAD_MAX 4096

enum framing { UNTIL_CLOSE, LENGTH, CHUNKED };
enum chunk_part { CHUNK_SIZE, CHUNK_EXTENSION, CHUNK_DATA, CHUNK_END, CHUNK_TRAILER };

/* What is told of a stamp or a wait that was found. */
typedef void (*found_stamp)(void *context, char kind, int64_t value);

struct response {
    char head[HEAD_MAX];
    size_t head_length;
    bool in_body;
    int status;
    enum framing framing;
    uint64_t left; /* of the body, or of the chunk */
    enum chunk_part part;
    bool line_empty; /* in the trailer */
    bool complete;   /* the body's end has come, by its framing */
    bool broken;     /* this is not HTTP as we know it */
    /* the scanner for `t=` and `w=` */
    char kind;
    int digits; /* -1: the letter alone */
    int64_t value;
};

/* Take bytes of the connection; `found` is called for each stamp in the body. */
void response_take(struct response *response, const char *bytes, size_t length, found_stamp found,
                   void *context);

/* The connection was closed: that ends a body which has no other end. */
void response_closed(struct response *response);

#endif
