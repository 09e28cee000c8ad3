/* What the upstream says: chat completion chunks whose text carries the time at which it was sent.
 *
 * The first text `bench?tokens=250&rate=50&mark=NAME` in the request's body says what is wanted,
 * whether it stands in the model or in a message. Shapes after OpenAI's reference "Chat completions,
 * streaming": a chunk with the role, one for each token, one with the finish_reason, one with the usage
 * (when it was asked for), and [DONE].
 */
#define _GNU_SOURCE
#include "upstream.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#define MARKS 65536
#define GOLDEN 0.6180339887498949

static struct {
    char mark[MARK_MAX + 1];
    int64_t at;
} closed[MARKS];
static uint64_t closed_count;

static void put(struct connection *connection, const char *bytes, size_t length) {
    if (connection->out_end + length > OUT_MAX) {
        die("an answer is longer than its buffer", 0);
    }
    memcpy(connection->out + connection->out_end, bytes, length);
    connection->out_end += length;
}

/* Put one event as one HTTP chunk. */
__attribute__((format(printf, 2, 3))) static void put_event(struct connection *connection,
                                                            const char *format, ...) {
    char event[EVENT_MAX], size[16];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(event, sizeof event, format, arguments);
    va_end(arguments);
    if (length < 0 || (size_t)length >= sizeof event) {
        die("an event is too long", 0);
    }
    int digits = snprintf(size, sizeof size, "%x\r\n", (unsigned)length);
    put(connection, size, (size_t)digits);
    put(connection, event, (size_t)length);
    put(connection, "\r\n", 2);
}

static void put_json(struct connection *connection, int status, const char *json, size_t length) {
    char head[256];
    int written = snprintf(head, sizeof head,
                           "HTTP/1.1 %d %s\r\nContent-Type: application/json\r\n"
                           "Content-Length: %zu\r\n\r\n",
                           status, status == 200 ? "OK" : "Refused", length);
    put(connection, head, (size_t)written);
    put(connection, json, length);
}

static void refuse(struct connection *connection, int status, const char *why) {
    char json[256];
    int length = snprintf(json, sizeof json, "{\"error\":{\"message\":\"%s\",\"code\":null}}", why);
    put_json(connection, status, json, (size_t)length);
}

/* Find a parameter in `bench?a=1&b=2`, whose end is `end`. */
static const char *parameter(const char *text, const char *end, const char *name) {
    size_t length = strlen(name);
    for (const char *at = text; at != NULL && at + length < end; at = memchr(at, '&', (size_t)(end - at))) {
        at += *at == '&' || *at == '?';
        if ((size_t)(end - at) > length && memcmp(at, name, length) == 0 && at[length] == '=') {
            return at + length + 1;
        }
    }
    return NULL;
}

static void read_mark(struct answer *answer, const char *text, const char *end) {
    size_t length = 0;
    while (text != NULL && text + length < end && text[length] != '&' && length < MARK_MAX) {
        length++;
    }
    if (length > 0) {
        memcpy(answer->mark, text, length);
    }
    answer->mark[length] = '\0';
}

/* Build the event of a token once; afterwards only its stamp changes. */
static void build_token(struct answer *answer) {
    char event[EVENT_MAX];
    int length = snprintf(event, sizeof event,
                          "%s\"choices\":[{\"delta\":{\"content\":\"t=%0*d word \"},"
                          "\"finish_reason\":null,\"index\":0,\"logprobs\":null}]}\n\n",
                          answer->base, STAMP_DIGITS, 0);
    int whole = snprintf(answer->token, sizeof answer->token, "%x\r\n%s\r\n", (unsigned)length, event);
    const char *stamp = strstr(answer->token, "t=0000");
    if (whole < 0 || (size_t)whole >= sizeof answer->token || stamp == NULL) {
        die("a token's event is too long", 0);
    }
    answer->token_length = (size_t)whole;
    answer->stamp_at = (size_t)(stamp - answer->token) + 2;
}

static void start_stream(struct connection *connection, const char *body, size_t length) {
    static const char head[] = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
                               "Cache-Control: no-cache\r\nTransfer-Encoding: chunked\r\n\r\n";
    struct answer *answer = &connection->answer;
    const char *wanted = memmem(body, length, "bench?", 6);
    if (wanted == NULL) {
        refuse(connection, 400, "nothing in the body says bench?tokens=...");
        return;
    }
    wanted += 5;
    size_t most = length - (size_t)(wanted - body), extent = 1;
    while (extent < most && strchr("\"\\ ", wanted[extent]) == NULL) {
        extent++;
    }
    const char *tokens = parameter(wanted, wanted + extent, "tokens");
    const char *rate = parameter(wanted, wanted + extent, "rate");
    double per_second = rate != NULL ? strtod(rate, NULL) : 50.0;
    memset(answer, 0, sizeof *answer);
    answer->tokens = tokens != NULL ? strtoull(tokens, NULL, 10) : 100;
    answer->interval = per_second > 0 ? (int64_t)((double)SECOND / per_second) : 0;
    answer->asked_at = now_ns();
    answer->usage = memmem(body, length, "include_usage", 13) != NULL;
    read_mark(answer, parameter(wanted, wanted + extent, "mark"), wanted + extent);
    int written = snprintf(answer->base, sizeof answer->base,
                           "data: {\"id\":\"chatcmpl-bench-%012" PRIu64 "\",\"object\":"
                           "\"chat.completion.chunk\",\"created\":%lld,\"model\":\"qwen-plus\","
                           "\"system_fingerprint\":null,",
                           totals.requests, (long long)time(NULL));
    if (written < 0 || (size_t)written >= sizeof answer->base) {
        die("an event's beginning is too long", 0);
    }
    build_token(answer);
    /* The streams are spread over the interval: in the same millisecond they would share the server's
     * system calls, which real ones do not. */
    double spread = (double)totals.requests * GOLDEN;
    spread -= (double)(uint64_t)spread;
    connection->timer.due = answer->asked_at + (int64_t)(spread * (double)answer->interval);
    connection->streaming = true;
    put(connection, head, sizeof head - 1);
    put_event(connection,
              "%s\"choices\":[{\"delta\":{\"content\":\"\",\"role\":\"assistant\"},"
              "\"finish_reason\":null,\"index\":0,\"logprobs\":null}]}\n\n",
              answer->base);
    timers_add(&connection->timer);
}

static void put_end(struct connection *connection) {
    const struct answer *answer = &connection->answer;
    put_event(connection,
              "%s\"choices\":[{\"delta\":{\"content\":\"\"},\"finish_reason\":\"stop\",\"index\":0,"
              "\"logprobs\":null}]}\n\n",
              answer->base);
    if (answer->usage) {
        put_event(connection,
                  "%s\"choices\":[],\"usage\":{\"prompt_tokens\":20,\"completion_tokens\":%" PRIu64
                  ",\"total_tokens\":%" PRIu64 "}}\n\n",
                  answer->base, answer->tokens, answer->tokens + 20);
    }
    put_event(connection, "data: [DONE]\n\n");
    put(connection, "0\r\n\r\n", 5);
    connection->streaming = false;
    totals.finished++;
}

/* Put the first token: it also says how long the upstream let its reader wait. */
static void put_first(struct connection *connection, int64_t stamp) {
    put_event(connection,
              "%s\"choices\":[{\"delta\":{\"content\":\"w=%0*" PRId64 " t=%0*" PRId64 " word \"},"
              "\"finish_reason\":null,\"index\":0,\"logprobs\":null}]}\n\n",
              connection->answer.base, WAIT_DIGITS, stamp - connection->answer.asked_at, STAMP_DIGITS,
              stamp);
}

bool answer_token(struct connection *connection, int64_t now) {
    struct answer *answer = &connection->answer;
    if (answer->sent < answer->tokens && connection->timer.due <= now) {
        if (connection->out_end + EVENT_MAX > OUT_MAX) {
            answer->behind = true; /* the reader is not fast enough: its waiting is measured, too */
            return false;
        }
        int64_t late = now - connection->timer.due;
        int64_t stamp = answer->behind ? connection->timer.due : now;
        if (!answer->behind && late > totals.most_late) {
            totals.most_late = late;
        }
        if (answer->sent == 0) {
            put_first(connection, stamp);
        } else {
            put_digits(answer->token + answer->stamp_at, stamp, STAMP_DIGITS);
            put(connection, answer->token, answer->token_length);
        }
        answer->sent++;
        totals.tokens++;
        connection->timer.due += answer->interval;
    }
    answer->behind = answer->behind && connection->timer.due <= now;
    if (answer->sent == answer->tokens) {
        if (connection->out_end + (size_t)4 * EVENT_MAX > OUT_MAX) {
            return false;
        }
        put_end(connection);
    }
    return true;
}

void answer_closed(const struct connection *connection, int64_t now) {
    totals.closed_early++;
    memcpy(closed[closed_count % MARKS].mark, connection->answer.mark, MARK_MAX + 1);
    closed[closed_count % MARKS].at = now;
    closed_count++;
}

/* GET /closed?mark=NAME: when the peer closed the connection of that run, or null. */
static void show_closed(struct connection *connection, const char *path, const char *end) {
    char json[64];
    struct answer asked = {.mark = ""};
    const char *query = memchr(path, '?', (size_t)(end - path));
    read_mark(&asked, query != NULL ? parameter(query, end, "mark") : NULL, end);
    int length = snprintf(json, sizeof json, "{\"at\":null}");
    uint64_t kept = closed_count < MARKS ? closed_count : MARKS;
    for (uint64_t i = 0; i < kept && asked.mark[0] != '\0'; i++) {
        uint64_t place = (closed_count - 1 - i) % MARKS;
        if (strcmp(closed[place].mark, asked.mark) == 0) {
            length = snprintf(json, sizeof json, "{\"at\":%" PRId64 "}", closed[place].at);
            break;
        }
    }
    put_json(connection, 200, json, (size_t)length);
}

static void show_totals(struct connection *connection) {
    char json[256];
    int length = snprintf(json, sizeof json,
                          "{\"requests\":%" PRIu64 ",\"tokens\":%" PRIu64 ",\"finished\":%" PRIu64
                          ",\"closed_early\":%" PRIu64 ",\"open\":%" PRIu64 ",\"most_late_ms\":%.3f}",
                          totals.requests, totals.tokens, totals.finished, totals.closed_early,
                          totals.open, (double)totals.most_late / 1e6);
    totals.most_late = 0;
    put_json(connection, 200, json, (size_t)length);
}

static void answer_request(struct connection *connection, const char *head, const char *body,
                           size_t length) {
    const char *path = strchr(head, ' ');
    const char *end = path != NULL ? strchr(path + 1, ' ') : NULL;
    if (end == NULL) {
        refuse(connection, 400, "this is not HTTP");
        return;
    }
    path++;
    size_t extent = (size_t)(end - path);
    if (strncmp(path, "/closed", 7) == 0) {
        show_closed(connection, path, end);
    } else if (extent == 6 && strncmp(path, "/stats", 6) == 0) {
        show_totals(connection);
    } else if (extent >= 17 && memcmp(end - 17, "/chat/completions", 17) == 0) {
        totals.requests++;
        start_stream(connection, body, length);
    } else {
        refuse(connection, 404, "there is no such page");
    }
}

/* Give the body's length, 0 where the head has none, -1 for one that is not understood. */
static long long body_length(const char *head) {
    for (const char *line = strstr(head, "\r\n"); line != NULL; line = strstr(line + 2, "\r\n")) {
        if (strncasecmp(line + 2, "content-length:", 15) == 0) {
            return strtoll(line + 17, NULL, 10);
        }
        if (strncasecmp(line + 2, "transfer-encoding:", 18) == 0) {
            return -1;
        }
    }
    return 0;
}

void answer_requests(struct connection *connection) {
    while (!connection->streaming && connection->in_length > 0) {
        char *end = memmem(connection->in, connection->in_length, "\r\n\r\n", 4);
        if (end == NULL) {
            connection->gone = connection->in_length == IN_MAX;
            return;
        }
        size_t head = (size_t)(end - connection->in) + 4;
        end[2] = '\0'; /* the head as a text: its last line keeps its line's end */
        long long body = body_length(connection->in);
        if (body < 0 || (size_t)body > IN_MAX - head) {
            connection->gone = true;
            return;
        }
        if (connection->in_length < head + (size_t)body) {
            end[2] = '\r';
            return;
        }
        answer_request(connection, connection->in, connection->in + head, (size_t)body);
        connection->in_length -= head + (size_t)body;
        memmove(connection->in, connection->in + head + (size_t)body, connection->in_length);
    }
}
