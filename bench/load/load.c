/* The load generator: opens streams against a server on this machine, finds the stamps in what comes
 * back, and prints what it measured as one JSON object.
 *
 * Every stream is a connection of its own, as a browser's would be. It is complete when its body has
 * ended by its framing and, with --tokens, has brought so many. SIGTERM and --seconds end the
 * measurement early: what still runs then counts as incomplete. With --from and --to only the tokens
 * that were sent between these seconds are timed: not those of the start, for instance. Where the body
 * says ########, each request puts its own number. With --again each stream asks so many times, one request
 * after the other, on its connection or, with --fresh, on a new one each time.
 *
 * It looks at its sockets every 0.1 ms instead of waiting to be woken: waking a process on the same
 * machine costs the server that writes several microseconds a token, which readers elsewhere do not.
 */
#define _GNU_SOURCE
#include "body.h"
#include "common.h"
#include "histogram.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define READ_SIZE 65536
#define EVENTS 256
#define PACE (SECOND / 10000)
#define REQUEST_MAX 65536
#define NUMBER "########"
#define NUMBER_DIGITS 8

struct stream {
    int fd;
    uint64_t number;
    size_t sent;
    int64_t started;
    int64_t waited; /* what the upstream waited before the first token, -1 when it did not say */
    uint64_t tokens;
    uint64_t again; /* how many times it is still to ask */
    struct response response;
};

static struct {
    int port;
    const char *method, *path, *body;
    size_t streams;
    double arrival; /* streams a second; 0: all at once */
    double seconds;
    double from, to; /* the tokens that were sent between these are timed */
    uint64_t tokens;
    uint64_t again; /* requests of each stream */
    bool fresh;     /* each on a connection of its own */
} options = {.method = "POST", .path = "/", .body = "", .streams = 1, .seconds = 600, .to = 1e6, .again = 1};

static struct {
    uint64_t opened, asked, open, most_open, complete, incomplete;
    uint64_t refused, wrong_status, reset, malformed;
    uint64_t tokens, bytes;
    int status; /* the first that was not 200 */
    struct histogram first, first_added, added, duration;
} totals;

static volatile sig_atomic_t told_to_end;
static char request[REQUEST_MAX];
static size_t request_length;
static char *number_at; /* in the request; NULL when the streams are not numbered */
static int poller;
static int64_t read_at;
static int64_t time_from, time_to;

static void end_early(int number) {
    (void)number;
    told_to_end = 1;
}

static void finish(struct stream *stream, uint64_t *counter) {
    if (close(stream->fd) != 0) {
        die("close", errno);
    }
    stream->fd = -1;
    totals.open--;
    (*counter)++;
}

static void found(void *context, char kind, int64_t value) {
    struct stream *stream = context;
    if (kind == 'w') {
        stream->waited = value;
        return;
    }
    if (stream->tokens++ == 0) {
        histogram_add(&totals.first, read_at - stream->started);
        if (stream->waited >= 0) {
            histogram_add(&totals.first_added, read_at - stream->started - stream->waited);
        }
    }
    totals.tokens++;
    if (value >= time_from && value <= time_to) {
        histogram_add(&totals.added, read_at - value);
    }
}

static void ask_again(struct stream *stream);

static void judge(struct stream *stream) {
    const struct response *response = &stream->response;
    if (response->broken) {
        finish(stream, &totals.malformed);
    } else if (response->status != 200) {
        if (totals.status == 0) {
            totals.status = response->status;
        }
        finish(stream, &totals.wrong_status);
    } else if (!response->complete || (options.tokens > 0 && stream->tokens != options.tokens)) {
        finish(stream, &totals.incomplete);
    } else {
        histogram_add(&totals.duration, read_at - stream->started);
        if (stream->again > 0) {
            totals.complete++;
            ask_again(stream);
        } else {
            finish(stream, &totals.complete);
        }
    }
}

static void send_request(struct stream *stream) {
    if (number_at != NULL) {
        char digits[NUMBER_DIGITS + 1];
        snprintf(digits, sizeof digits, "%0*u", NUMBER_DIGITS, (unsigned)stream->number);
        memcpy(number_at, digits, NUMBER_DIGITS);
    }
    while (stream->sent < request_length) {
        ssize_t sent = send(stream->fd, request + stream->sent, request_length - stream->sent,
                            MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent < 0) {
            if (errno != EAGAIN && errno != EINTR) {
                finish(stream, stream->sent == 0 ? &totals.refused : &totals.reset);
            }
            return;
        }
        stream->sent += (size_t)sent;
    }
}

static void receive(struct stream *stream, bool closing) {
    static char bytes[READ_SIZE];
    for (;;) {
        ssize_t length = recv(stream->fd, bytes, sizeof bytes, MSG_DONTWAIT);
        if (length < 0) {
            if (errno != EAGAIN && errno != EINTR) {
                finish(stream, stream->sent == 0 ? &totals.refused : &totals.reset);
            }
            return;
        }
        read_at = now_ns();
        if (length == 0) {
            response_closed(&stream->response);
            judge(stream);
            return;
        }
        totals.bytes += (uint64_t)length;
        response_take(&stream->response, bytes, (size_t)length, found, stream);
        if (stream->response.complete || stream->response.broken) {
            judge(stream);
            return;
        }
        /* The socket is drained after a short read; a close that comes later is an event of its own. */
        if ((size_t)length < sizeof bytes && !closing) {
            return;
        }
    }
}

/* Begin a request of a stream. */
static void begin_request(struct stream *stream) {
    stream->started = now_ns();
    stream->waited = -1;
    stream->number = totals.asked++;
    stream->sent = 0;
    stream->tokens = 0;
    memset(&stream->response, 0, sizeof stream->response);
}

static void open_connection(struct stream *stream) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)options.port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    stream->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (stream->fd < 0) {
        die("socket", errno);
    }
    no_delay(stream->fd);
    totals.open++;
    if (totals.open > totals.most_open) {
        totals.most_open = totals.open;
    }
    if (connect(stream->fd, (struct sockaddr *)&address, sizeof address) != 0 && errno != EINPROGRESS) {
        finish(stream, &totals.refused);
        return;
    }
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET};
    event.data.ptr = stream;
    if (epoll_ctl(poller, EPOLL_CTL_ADD, stream->fd, &event) != 0) {
        die("epoll_ctl", errno);
    }
}

static void open_stream(struct stream *stream) {
    totals.opened++;
    stream->again = options.again - 1;
    begin_request(stream);
    open_connection(stream);
}

/* Ask once more. An answer that only the connection's end completed has left none to ask on. */
static void ask_again(struct stream *stream) {
    bool gone = options.fresh || stream->response.framing == UNTIL_CLOSE;
    stream->again--;
    begin_request(stream);
    if (gone) {
        close(stream->fd);
        totals.open--;
        open_connection(stream);
    } else {
        send_request(stream);
    }
}

static void rest(int64_t ns) {
    struct timespec pause = {.tv_nsec = ns};
    if (nanosleep(&pause, NULL) != 0 && errno != EINTR) {
        die("nanosleep", errno);
    }
}

static void run(struct stream *streams) {
    struct epoll_event events[EVENTS];
    int64_t begin = now_ns(), end = begin + (int64_t)(options.seconds * (double)SECOND);
    time_from = begin + (int64_t)(options.from * (double)SECOND);
    time_to = begin + (int64_t)(options.to * (double)SECOND);
    while (!told_to_end && (totals.opened < options.streams || totals.open > 0)) {
        int64_t now = now_ns(), next = end;
        while (totals.opened < options.streams) {
            int64_t due = begin;
            if (options.arrival > 0) {
                due += (int64_t)((double)totals.opened / options.arrival * (double)SECOND);
            }
            if (due > now) {
                next = due < end ? due : end;
                break;
            }
            open_stream(&streams[totals.opened]);
        }
        if (now >= end) {
            return;
        }
        int count = epoll_wait(poller, events, EVENTS, 0);
        if (count < 0 && errno != EINTR) {
            die("epoll_wait", errno);
        }
        if (count == 0) {
            rest(next - now < PACE ? next - now : PACE);
        }
        for (int i = 0; i < count; i++) {
            struct stream *stream = events[i].data.ptr;
            if (stream->sent < request_length && events[i].events & (EPOLLOUT | EPOLLERR)) {
                send_request(stream);
            }
            if (stream->fd >= 0 && events[i].events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) {
                receive(stream, (events[i].events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0);
            }
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

static void report(double seconds) {
    printf("{\"streams\":%llu,\"opened\":%llu,\"complete\":%llu,\"incomplete\":%llu,",
           (unsigned long long)(options.streams * options.again),
           (unsigned long long)totals.opened, (unsigned long long)totals.complete,
           (unsigned long long)(totals.incomplete + totals.open));
    printf("\"refused\":%llu,\"wrong_status\":%llu,\"status\":%d,\"reset\":%llu,\"malformed\":%llu,",
           (unsigned long long)totals.refused, (unsigned long long)totals.wrong_status, totals.status,
           (unsigned long long)totals.reset, (unsigned long long)totals.malformed);
    printf("\"most_open\":%llu,\"tokens\":%llu,\"bytes\":%llu,\"seconds\":%.4f,\"cpu\":%.4f,",
           (unsigned long long)totals.most_open, (unsigned long long)totals.tokens,
           (unsigned long long)totals.bytes, seconds, cpu_seconds());
    histogram_print(&totals.first, "first", stdout);
    putchar(',');
    histogram_print(&totals.first_added, "first_added", stdout);
    putchar(',');
    histogram_print(&totals.added, "added", stdout);
    putchar(',');
    histogram_print(&totals.duration, "duration", stdout);
    puts("}");
}

static void read_options(int count, char **arguments) {
    static const struct option known[] = {
        {"port", required_argument, NULL, 'p'},    {"method", required_argument, NULL, 'm'},
        {"path", required_argument, NULL, 'u'},    {"body", required_argument, NULL, 'b'},
        {"streams", required_argument, NULL, 'n'}, {"arrival", required_argument, NULL, 'a'},
        {"seconds", required_argument, NULL, 's'}, {"tokens", required_argument, NULL, 't'},
        {"from", required_argument, NULL, 'f'},    {"to", required_argument, NULL, 'o'},
        {"again", required_argument, NULL, 'g'},   {"fresh", no_argument, NULL, 'r'},
        {NULL, 0, NULL, 0},
    };
    int option;
    while ((option = getopt_long(count, arguments, "", known, NULL)) != -1) {
        switch (option) {
        case 'p': options.port = (int)number_option("port", optarg, 1, 65535); break;
        case 'm': options.method = optarg; break;
        case 'u': options.path = optarg; break;
        case 'b': options.body = optarg; break;
        case 'n': options.streams = (size_t)number_option("streams", optarg, 1, 100000); break;
        case 'a': options.arrival = number_option("arrival", optarg, 0, 1e6); break;
        case 's': options.seconds = number_option("seconds", optarg, 0.001, 86400); break;
        case 't': options.tokens = (uint64_t)number_option("tokens", optarg, 0, 1e9); break;
        case 'f': options.from = number_option("from", optarg, 0, 86400); break;
        case 'o': options.to = number_option("to", optarg, 0, 86400); break;
        case 'g': options.again = (uint64_t)number_option("again", optarg, 1, 1e6); break;
        case 'r': options.fresh = true; break;
        default: exit(2);
        }
    }
    if (options.port == 0 || optind != count) {
        die("usage: load --port PORT [--method M] [--path P] [--body TEXT] [--streams N] "
            "[--arrival PER_SECOND] [--seconds MOST] [--tokens EXPECTED] [--from SECOND] [--to SECOND] "
            "[--again TIMES [--fresh]]", 0);
    }
}

static void build_request(void) {
    size_t length = strlen(options.body);
    int written = snprintf(request, sizeof request, "%s %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n",
                           options.method, options.path, options.port);
    if (written > 0 && (size_t)written < sizeof request) {
        request_length = (size_t)written;
        written = snprintf(request + request_length, sizeof request - request_length,
                           length > 0 ? "Accept: text/event-stream\r\nAuthorization: Bearer bench\r\n"
                                        "Content-Type: application/json\r\n"
                                        "Content-Length: %zu\r\n\r\n%s"
                                      : "Accept: text/event-stream\r\nAuthorization: Bearer bench\r\n\r\n",
                           length, options.body);
    }
    if (written < 0 || request_length + (size_t)written >= sizeof request) {
        die("the request is too long", 0);
    }
    request_length += (size_t)written;
    number_at = strstr(request, NUMBER);
}

int main(int count, char **arguments) {
    read_options(count, arguments);
    build_request();
    raise_descriptors();
    end_with_parent();
    struct sigaction action = {.sa_handler = end_early};
    if (sigaction(SIGTERM, &action, NULL) != 0 || sigaction(SIGINT, &action, NULL) != 0) {
        die("sigaction", errno);
    }
    if (prctl(PR_SET_TIMERSLACK, 1) != 0) {
        perror("this process's sleeps are longer than they should be");
    }
    poller = epoll_create1(EPOLL_CLOEXEC);
    struct stream *streams = calloc(options.streams, sizeof *streams);
    if (poller < 0 || streams == NULL) {
        die("no room for the streams", errno);
    }
    int64_t begin = now_ns();
    run(streams);
    report((double)(now_ns() - begin) / (double)SECOND);
    free(streams);
    return 0;
}
