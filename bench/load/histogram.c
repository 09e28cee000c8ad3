#include "histogram.h"

#include <stddef.h>

/* Below 64 a bucket is one nanosecond; above, each power of two has 64 buckets. */
static size_t bucket_of(int64_t value) {
    uint64_t whole = value < 0 ? 0 : (uint64_t)value;
    if (whole < 64) {
        return (size_t)whole;
    }
    unsigned power = 63U - (unsigned)__builtin_clzll(whole);
    size_t bucket = 64 * (size_t)(power - 5) + (size_t)(whole >> (power - 6)) - 64;
    return bucket < HISTOGRAM_BUCKETS ? bucket : HISTOGRAM_BUCKETS - 1;
}

/* The greatest value that a bucket holds. */
static int64_t bound_of(size_t bucket) {
    if (bucket < 64) {
        return (int64_t)bucket;
    }
    unsigned power = (unsigned)(bucket / 64) + 5;
    return (int64_t)(((uint64_t)(bucket % 64) + 65) << (power - 6)) - 1;
}

void histogram_add(struct histogram *histogram, int64_t value) {
    if (histogram->count == 0 || value < histogram->least) {
        histogram->least = value;
    }
    if (histogram->count == 0 || value > histogram->most) {
        histogram->most = value;
    }
    histogram->count++;
    histogram->sum += (double)value;
    histogram->buckets[bucket_of(value)]++;
}

static int64_t percentile(const struct histogram *histogram, double part) {
    uint64_t wanted = (uint64_t)(part * (double)histogram->count);
    uint64_t seen = 0;
    for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++) {
        seen += histogram->buckets[i];
        if (seen > wanted) {
            int64_t bound = bound_of(i);
            return bound < histogram->most ? bound : histogram->most;
        }
    }
    return histogram->most;
}

void histogram_print(const struct histogram *histogram, const char *name, FILE *out) {
    double mean = histogram->count > 0 ? histogram->sum / (double)histogram->count : 0.0;
    fprintf(out, "\"%s\":{\"count\":%llu,\"min\":%.4f,\"mean\":%.4f,\"p50\":%.4f,\"p90\":%.4f,", name,
            (unsigned long long)histogram->count, (double)histogram->least / 1e6, mean / 1e6,
            (double)percentile(histogram, 0.50) / 1e6, (double)percentile(histogram, 0.90) / 1e6);
    fprintf(out, "\"p99\":%.4f,\"p999\":%.4f,\"max\":%.4f}",
            (double)percentile(histogram, 0.99) / 1e6, (double)percentile(histogram, 0.999) / 1e6,
            (double)histogram->most / 1e6);
}
