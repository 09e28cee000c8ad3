/* What the upstream and the load generator share: the clock, numbers, and endings. */
#ifndef BENCH_COMMON_H
#define BENCH_COMMON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SECOND INT64_C(1000000000)

/* A stamp is `t=` and this many digits: the nanoseconds of the monotonic clock when a token was sent. */
#define STAMP_DIGITS 16
/* A wait is `w=` and this many digits: the nanoseconds from the request to its first token. */
#define WAIT_DIGITS 12

/* The monotonic clock in nanoseconds: the same for every process of one machine. */
int64_t now_ns(void);

/* Write `value` as exactly `digits` decimal digits, without a terminator. */
void put_digits(char *at, int64_t value, int digits);

/* Say what failed (with errno's text, when `number` is not 0) and end with code 2. */
_Noreturn void die(const char *what, int number);

/* Read a number of the command line within bounds; ends the program when it is none. */
double number_option(const char *name, const char *text, double least, double most);

/* Take as many file descriptors as the system allows. */
void raise_descriptors(void);

/* End when the process that started this one ends. */
void end_with_parent(void);

/* Let small writes go out at once. */
void no_delay(int fd);

#endif
