/* A histogram of times in nanoseconds whose buckets are at most 1.6 % wide. */
#ifndef BENCH_HISTOGRAM_H
#define BENCH_HISTOGRAM_H

#include <stdint.h>
#include <stdio.h>

#define HISTOGRAM_BUCKETS (64 * 48)

struct histogram {
    uint64_t count;
    uint64_t buckets[HISTOGRAM_BUCKETS];
    int64_t least;
    int64_t most;
    double sum;
};

/* Count one value; a negative one counts as 0, but `least` tells. */
void histogram_add(struct histogram *histogram, int64_t value);

/* Write it as a JSON object in milliseconds: count, min, mean, p50, p90, p99, p999, max. */
void histogram_print(const struct histogram *histogram, const char *name, FILE *out);

#endif
