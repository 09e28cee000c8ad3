#define _GNU_SOURCE
#include "common.h"

#include <math.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>

int64_t now_ns(void) {
    struct timespec now;
    if (clock_gettime(CLOCK_MONOTONIC, &now) != 0) {
        die("no monotonic clock", 0);
    }
    return (int64_t)now.tv_sec * SECOND + now.tv_nsec;
}

void put_digits(char *at, int64_t value, int digits) {
    for (int i = digits - 1; i >= 0; i--) {
        at[i] = (char)('0' + value % 10);
        value /= 10;
    }
}

void die(const char *what, int number) {
    if (number != 0) {
        fprintf(stderr, "%s: %s\n", what, strerror(number));
    } else {
        fprintf(stderr, "%s\n", what);
    }
    exit(2);
}

double number_option(const char *name, const char *text, double least, double most) {
    char *end = NULL;
    double value = strtod(text, &end);
    if (end == text || *end != '\0' || !isfinite(value) || value < least || value > most) {
        fprintf(stderr, "--%s wants a number from %g to %g, not %s\n", name, least, most, text);
        exit(2);
    }
    return value;
}

void raise_descriptors(void) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        if (setrlimit(RLIMIT_NOFILE, &limit) != 0) {
            perror("the number of descriptors stays as it was");
        }
    }
}

void end_with_parent(void) {
    if (prctl(PR_SET_PDEATHSIG, SIGTERM) != 0) {
        perror("this process would outlive its parent");
    }
}

void no_delay(int fd) {
    int on = 1;
    if (setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) != 0) {
        perror("TCP_NODELAY");
    }
}
