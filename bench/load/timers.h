/* What is due next: a binary heap of the times at which connections send their next token. */
#ifndef BENCH_TIMERS_H
#define BENCH_TIMERS_H

#include "common.h"

#define NOT_WAITING SIZE_MAX

struct timer {
    int64_t due;
    size_t place; /* in the heap, or NOT_WAITING */
};

/* Put a timer into the heap, which it must not be in. */
void timers_add(struct timer *timer);

/* Take a timer out of the heap; harmless when it is not in it. */
void timers_remove(struct timer *timer);

/* The timer that is due first, or NULL. */
struct timer *timers_first(void);

#endif
