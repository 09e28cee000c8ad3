#define _GNU_SOURCE
#include "body.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

static void scan(struct response *response, const char *bytes, size_t length, found_stamp found,
                 void *context) {
    for (size_t i = 0; i < length; i++) {
        char byte = bytes[i];
        if (response->kind == 0) {
            if (byte == 't' || byte == 'w') {
                response->kind = byte;
                response->digits = -1;
            }
        } else if (response->digits < 0 && byte == '=') {
            response->digits = 0;
            response->value = 0;
        } else if (response->digits >= 0 && byte >= '0' && byte <= '9') {
            response->value = response->value * 10 + (byte - '0');
            response->digits++;
            if (response->digits == (response->kind == 't' ? STAMP_DIGITS : WAIT_DIGITS)) {
                found(context, response->kind, response->value);
                response->kind = 0;
            }
        } else {
            response->kind = (char)(byte == 't' || byte == 'w' ? byte : 0);
            response->digits = -1;
        }
    }
}

/* Find a header's value in the head; the names are matched whatever their case. */
static const char *header(const struct response *response, const char *name) {
    size_t length = strlen(name);
    const char *line = strstr(response->head, "\r\n");
    while (line != NULL) {
        line += 2;
        if (strncasecmp(line, name, length) == 0 && line[length] == ':') {
            line += length + 1;
            return line + strspn(line, " ");
        }
        line = strstr(line, "\r\n");
    }
    return NULL;
}

static void read_head(struct response *response) {
    if (strncmp(response->head, "HTTP/1.", 7) != 0) {
        response->broken = true;
        return;
    }
    response->status = atoi(response->head + 9);
    const char *length = header(response, "content-length");
    const char *coding = header(response, "transfer-encoding");
    if (coding != NULL && strncasecmp(coding, "chunked", 7) == 0) {
        response->framing = CHUNKED;
    } else if (length != NULL) {
        response->framing = LENGTH;
        response->left = strtoull(length, NULL, 10);
        response->complete = response->left == 0;
    } else if (response->status == 204) {
        response->framing = LENGTH;
        response->complete = true;
    }
    response->in_body = true;
}

/* Take bytes into the head, one by one at its end; gives how many it took. */
static size_t take_head(struct response *response, const char *bytes, size_t length) {
    size_t taken = 0;
    while (taken < length && !response->in_body && !response->broken) {
        if (response->head_length + 1 >= HEAD_MAX) {
            response->broken = true;
            break;
        }
        response->head[response->head_length++] = bytes[taken++];
        response->head[response->head_length] = '\0';
        if (response->head_length >= 4 &&
            memcmp(response->head + response->head_length - 4, "\r\n\r\n", 4) == 0) {
            read_head(response);
        }
    }
    return taken;
}

static int hex(char byte) {
    if (byte >= '0' && byte <= '9') {
        return byte - '0';
    }
    byte = (char)(byte | 0x20);
    return byte >= 'a' && byte <= 'f' ? byte - 'a' + 10 : -1;
}

/* Take one byte of the framing between the chunks. */
static void take_frame(struct response *response, char byte) {
    switch (response->part) {
    case CHUNK_SIZE:
        if (hex(byte) >= 0 && response->left < (UINT64_C(1) << 40)) {
            response->left = response->left * 16 + (uint64_t)hex(byte);
            break;
        }
        if (byte != '\r' && byte != ';' && byte != ' ') {
            response->broken = true;
            break;
        }
        response->part = CHUNK_EXTENSION;
        break;
    case CHUNK_EXTENSION:
        if (byte == '\n') {
            response->line_empty = true;
            response->part = response->left > 0 ? CHUNK_DATA : CHUNK_TRAILER;
        }
        break;
    case CHUNK_END:
        if (byte == '\n') {
            response->left = 0;
            response->part = CHUNK_SIZE;
        }
        break;
    case CHUNK_TRAILER:
        if (byte == '\n') {
            response->complete = response->line_empty;
            response->line_empty = true;
        } else if (byte != '\r') {
            response->line_empty = false;
        }
        break;
    case CHUNK_DATA:
        break;
    }
}

void response_take(struct response *response, const char *bytes, size_t length, found_stamp found,
                   void *context) {
    size_t at = response->in_body ? 0 : take_head(response, bytes, length);
    while (at < length && !response->complete && !response->broken) {
        if (response->framing == CHUNKED && response->part != CHUNK_DATA) {
            take_frame(response, bytes[at++]);
            continue;
        }
        size_t piece = length - at;
        if (response->framing != UNTIL_CLOSE && piece > response->left) {
            piece = (size_t)response->left;
        }
        scan(response, bytes + at, piece, found, context);
        at += piece;
        if (response->framing == UNTIL_CLOSE) {
            continue;
        }
        response->left -= piece;
        if (response->left == 0) {
            response->complete = response->framing == LENGTH;
            response->part = CHUNK_END;
        }
    }
}

void response_closed(struct response *response) {
    if (response->in_body && response->framing == UNTIL_CLOSE) {
        response->complete = true;
    }
}
