/* The upstream: an OpenAI-compatible server whose answers are stamped with the time.
 *
 * It prints its port when it listens, and serves until SIGTERM. `/closed?mark=NAME` and `/stats` tell
 * what happened. A token goes out when it is due; one that a slow reader held up carries the time at
 * which it was due, so that the waiting counts.
 */
#define _GNU_SOURCE
#include "upstream.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

#define EVENTS 256
#define BACKLOG 4096

struct totals totals;

static int poller, listener, alarm_clock;

static void add(int fd, uint32_t events, void *data) {
    struct epoll_event event = {.events = events};
    event.data.ptr = data;
    if (epoll_ctl(poller, EPOLL_CTL_ADD, fd, &event) != 0) {
        die("epoll_ctl", errno);
    }
}

static void drop(struct connection *connection) {
    if (connection->streaming) {
        answer_closed(connection, now_ns());
    }
    timers_remove(&connection->timer);
    if (close(connection->fd) != 0) {
        die("close", errno);
    }
    totals.open--;
    free(connection);
}

static void flush(struct connection *connection) {
    while (connection->out_begin < connection->out_end) {
        ssize_t sent = send(connection->fd, connection->out + connection->out_begin,
                            connection->out_end - connection->out_begin, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent < 0) {
            if (errno != EAGAIN && errno != EINTR) {
                connection->gone = true;
            }
            break;
        }
        connection->out_begin += (size_t)sent;
    }
    if (connection->out_begin == connection->out_end) {
        connection->out_begin = connection->out_end = 0;
    } else if (connection->out_begin > OUT_MAX / 2) {
        connection->out_end -= connection->out_begin;
        memmove(connection->out, connection->out + connection->out_begin, connection->out_end);
        connection->out_begin = 0;
    }
}

/* Send what is due, and be woken when more is, or when the socket takes more. Each token is a send of
 * its own, also when this program is late: a real provider would not save its reader that work. */
static void stream(struct connection *connection) {
    int64_t now = now_ns();
    bool room = true;
    timers_remove(&connection->timer);
    do {
        room = answer_token(connection, now);
        flush(connection);
        now = now_ns();
    } while (room && connection->streaming && !connection->gone && connection->timer.due <= now);
    if (connection->streaming && (room || connection->out_begin == connection->out_end)) {
        timers_add(&connection->timer);
    }
}

static void receive(struct connection *connection) {
    for (;;) {
        size_t room = IN_MAX - connection->in_length;
        if (room == 0) {
            connection->gone = true;
            return;
        }
        ssize_t length =
            recv(connection->fd, connection->in + connection->in_length, room, MSG_DONTWAIT);
        if (length <= 0) {
            if (length == 0 || (errno != EAGAIN && errno != EINTR)) {
                connection->gone = true;
            }
            return;
        }
        connection->in_length += (size_t)length;
        answer_requests(connection);
        flush(connection);
    }
}

static void accept_all(void) {
    for (;;) {
        int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0) {
            if (errno == EAGAIN || errno == EINTR || errno == ECONNABORTED) {
                return;
            }
            die("accept", errno);
        }
        struct connection *connection = malloc(sizeof *connection);
        if (connection == NULL) {
            die("no room for a connection", errno);
        }
        /* The buffers stay untouched, and so without memory, until something is in them. */
        connection->timer.place = NOT_WAITING;
        connection->fd = fd;
        connection->streaming = connection->gone = false;
        connection->in_length = connection->out_begin = connection->out_end = 0;
        no_delay(fd);
        totals.open++;
        add(fd, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, connection);
    }
}

static void set_alarm(void) {
    static int64_t set;
    const struct timer *first = timers_first();
    int64_t due = first != NULL ? first->due : 0;
    if (due == set && due > now_ns()) {
        return;
    }
    set = due;
    /* All zeros would stop the clock; a time that is over rings at once. */
    struct itimerspec when = {.it_value = {.tv_sec = due / SECOND, .tv_nsec = due % SECOND}};
    if (timerfd_settime(alarm_clock, TFD_TIMER_ABSTIME, &when, NULL) != 0) {
        die("timerfd_settime", errno);
    }
}

static void handle(struct connection *connection, uint32_t events) {
    if (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) {
        receive(connection);
    }
    bool waiting = connection->out_begin < connection->out_end;
    if (!connection->gone && events & EPOLLOUT && waiting) {
        flush(connection);
        if (connection->streaming && connection->timer.place == NOT_WAITING) {
            stream(connection);
        }
    }
    if (connection->gone) {
        drop(connection);
    }
}

static void send_due(void) {
    struct timer *first = timers_first();
    int64_t now = now_ns();
    while (first != NULL && first->due <= now) {
        struct connection *connection = (struct connection *)first;
        stream(connection);
        if (!connection->streaming && !connection->gone) {
            answer_requests(connection);
            flush(connection);
        }
        if (connection->gone) {
            drop(connection);
        }
        first = timers_first();
    }
}

static int listen_on(int port) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    int on = 1;
    listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (listener < 0 || setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0 ||
        bind(listener, (struct sockaddr *)&address, size) != 0 || listen(listener, BACKLOG) != 0 ||
        getsockname(listener, (struct sockaddr *)&address, &size) != 0) {
        die("cannot listen", errno);
    }
    return ntohs(address.sin_port);
}

int main(int count, char **arguments) {
    struct epoll_event events[EVENTS];
    int port = count > 1 ? (int)number_option("port", arguments[1], 0, 65535) : 0;
    raise_descriptors();
    end_with_parent();
    port = listen_on(port);
    poller = epoll_create1(EPOLL_CLOEXEC);
    alarm_clock = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    if (poller < 0 || alarm_clock < 0) {
        die("epoll or timerfd", errno);
    }
    add(listener, EPOLLIN, &listener);
    add(alarm_clock, EPOLLIN | EPOLLET, &alarm_clock);
    printf("%d\n", port);
    if (fflush(stdout) != 0) {
        die("standard output", errno);
    }
    for (;;) {
        set_alarm();
        int ready = epoll_wait(poller, events, EVENTS, -1);
        if (ready < 0 && errno != EINTR) {
            die("epoll_wait", errno);
        }
        for (int i = 0; i < ready; i++) {
            if (events[i].data.ptr == &listener) {
                accept_all();
            } else if (events[i].data.ptr != &alarm_clock) {
                handle(events[i].data.ptr, events[i].events);
            }
        }
        send_due();
    }
}
