/* Writers of streams: each keeps a connection, appends to its stream, and waits for the response before it
 * appends again, or until its next append is due. Prints what it measured as one JSON object.
 *
 * The path is the stream's, ######## in it the writer's number; all streams have to be there. Each append
 * begins with the stamp `t=` of its sending, which readers time. Unlike the load generator this one waits to
 * be woken: a writer that looks every 0.1 ms would itself be what an append waits for.
 */
#define _GNU_SOURCE
#include "body.h"
#include "common.h"
#include "histogram.h"

#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define EVENTS 256
#define READ_SIZE 16384
#define REQUEST_MAX 70000
#define NUMBER "########"
#define NUMBER_DIGITS 8
#define MILLISECOND (SECOND / 1000)

struct writer {
    int fd;
    bool waits; /* for a response */
    uint64_t appended;
    int64_t sent_at;
    size_t length;
    char *stamp; /* in the request */
    char *request;
    struct response response;
};

static struct {
    int port;
    const char *path;
    size_t writers, size;
    uint64_t count;       /* appends of each writer; 0: as many as it can */
    double seconds, rate; /* appends a second of each writer; 0: as fast as it can */
} options = {.path = "/", .writers = 1, .size = 200, .seconds = 5};

static uint64_t appended, failed;
static int poller;
static struct histogram times;

static void ignore(void *context, char kind, int64_t value) {
    (void)context;
    (void)kind;
    (void)value;
}

static void connect_writer(struct writer *writer) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)options.port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    writer->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (writer->fd < 0 || connect(writer->fd, (struct sockaddr *)&address, sizeof address) != 0) {
        die("connect", errno);
    }
    no_delay(writer->fd);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = writer};
    if (epoll_ctl(poller, EPOLL_CTL_ADD, writer->fd, &event) != 0) {
        die("epoll_ctl", errno);
    }
}

static void make_request(struct writer *writer, size_t number) {
    writer->request = malloc(REQUEST_MAX);
    if (writer->request == NULL) {
        die("no room for a request", errno);
    }
    int head = snprintf(writer->request, REQUEST_MAX,
                        "POST %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nContent-Type: text/plain\r\n"
                        "Content-Length: %zu\r\n\r\n",
                        options.path, options.port, options.size);
    if (head < 0 || (size_t)head + options.size >= REQUEST_MAX) {
        die("the request is too long", 0);
    }
    char *place = strstr(writer->request, NUMBER);
    if (place != NULL) {
        put_digits(place, (int64_t)number, NUMBER_DIGITS);
    }
    writer->length = (size_t)head + options.size;
    memset(writer->request + head, '.', options.size);
    memcpy(writer->request + head, "t=", 2);
    writer->stamp = writer->request + head + 2;
}

static void append(struct writer *writer) {
    writer->sent_at = now_ns();
    put_digits(writer->stamp, writer->sent_at, STAMP_DIGITS);
    memset(&writer->response, 0, sizeof writer->response);
    writer->waits = true;
    (void)!send(writer->fd, writer->request, writer->length, MSG_NOSIGNAL); /* a failure ends the reading */
}

static void receive(struct writer *writer) {
    static char bytes[READ_SIZE];
    ssize_t length = recv(writer->fd, bytes, sizeof bytes, 0);
    if (length <= 0) { /* the server has closed it, as many do after some idle seconds */
        if (close(writer->fd) != 0) {
            die("close", errno);
        }
        connect_writer(writer);
        if (writer->waits) {
            append(writer);
        }
        return;
    }
    response_take(&writer->response, bytes, (size_t)length, ignore, NULL);
    if (writer->response.broken) {
        die("this is no response", 0);
    }
    if (!writer->response.complete) {
        return;
    }
    writer->waits = false;
    writer->appended++;
    if (writer->response.status / 100 == 2) {
        appended++;
        histogram_add(&times, now_ns() - writer->sent_at);
    } else {
        failed++;
    }
}

static int64_t sooner(int64_t one, int64_t other) { return one == 0 || other < one ? other : one; }

/* Append where it is due; gives until when to wait, or 0 when all writers are done. */
static int64_t append_due(struct writer *writers, int64_t begin, int64_t end) {
    int64_t now = now_ns(), next = 0;
    for (size_t i = 0; i < options.writers; i++) {
        struct writer *writer = &writers[i];
        bool done = now >= end || (options.count > 0 && writer->appended == options.count);
        if (!writer->waits && !done) {
            double turn = (double)writer->appended + (double)i / (double)options.writers;
            int64_t due = begin + (int64_t)(turn / options.rate * (double)SECOND);
            if (options.rate > 0 && due > now) {
                next = sooner(next, due);
                continue;
            }
            append(writer);
        }
        if (writer->waits) {
            next = sooner(next, now >= end ? now + SECOND : end);
        }
    }
    return next;
}

static void run(struct writer *writers) {
    struct epoll_event events[EVENTS];
    int64_t begin = now_ns(), end = begin + (int64_t)(options.seconds * (double)SECOND), next;
    while ((next = append_due(writers, begin, end)) != 0) {
        int64_t now = now_ns();
        int patience = next > now ? (int)((next - now + MILLISECOND - 1) / MILLISECOND) : 0;
        int count = epoll_wait(poller, events, EVENTS, patience);
        if (count < 0 && errno != EINTR) {
            die("epoll_wait", errno);
        }
        for (int i = 0; i < count; i++) {
            receive(events[i].data.ptr);
        }
    }
}

static double cpu_seconds(void) {
    struct rusage usage;
    if (getrusage(RUSAGE_SELF, &usage) != 0) {
        die("getrusage", errno);
    }
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

static void read_options(int count, char **arguments) {
    static const struct option known[] = {
        {"port", required_argument, NULL, 'p'},    {"path", required_argument, NULL, 'u'},
        {"writers", required_argument, NULL, 'n'}, {"size", required_argument, NULL, 'z'},
        {"count", required_argument, NULL, 'c'},   {"seconds", required_argument, NULL, 's'},
        {"rate", required_argument, NULL, 'r'},    {NULL, 0, NULL, 0},
    };
    int option;
    while ((option = getopt_long(count, arguments, "", known, NULL)) != -1) {
        switch (option) {
        case 'p': options.port = (int)number_option("port", optarg, 1, 65535); break;
        case 'u': options.path = optarg; break;
        case 'n': options.writers = (size_t)number_option("writers", optarg, 1, 10000); break;
        case 'z': options.size = (size_t)number_option("size", optarg, 2 + STAMP_DIGITS, 65536); break;
        case 'c': options.count = (uint64_t)number_option("count", optarg, 0, 1e9); break;
        case 's': options.seconds = number_option("seconds", optarg, 0.001, 86400); break;
        case 'r': options.rate = number_option("rate", optarg, 0, 1e6); break;
        default: exit(2);
        }
    }
    if (options.port == 0 || optind != count) {
        die("usage: append --port PORT --path PATH [--writers N] [--size BYTES] [--count APPENDS] "
            "[--seconds MOST] [--rate PER_SECOND]", 0);
    }
}

int main(int count, char **arguments) {
    read_options(count, arguments);
    raise_descriptors();
    end_with_parent();
    poller = epoll_create1(EPOLL_CLOEXEC);
    struct writer *writers = calloc(options.writers, sizeof *writers);
    if (poller < 0 || writers == NULL) {
        die("no room for the writers", errno);
    }
    for (size_t i = 0; i < options.writers; i++) {
        make_request(&writers[i], i);
        connect_writer(&writers[i]);
    }
    int64_t begin = now_ns();
    run(writers);
    printf("{\"appends\":%llu,\"failed\":%llu,\"seconds\":%.4f,\"cpu\":%.4f,",
           (unsigned long long)appended, (unsigned long long)failed,
           (double)(now_ns() - begin) / (double)SECOND, cpu_seconds());
    histogram_print(&times, "times", stdout);
    puts("}");
    return 0;
}
