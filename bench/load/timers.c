#include "timers.h"

#include <errno.h>
#include <stdlib.h>

static struct timer **heap;
static size_t used, room;

static void place(struct timer *timer, size_t at) {
    heap[at] = timer;
    timer->place = at;
}

static void up(struct timer *timer, size_t at) {
    while (at > 0 && heap[(at - 1) / 2]->due > timer->due) {
        place(heap[(at - 1) / 2], at);
        at = (at - 1) / 2;
    }
    place(timer, at);
}

static void down(struct timer *timer, size_t at) {
    for (;;) {
        size_t child = 2 * at + 1;
        if (child >= used) {
            break;
        }
        if (child + 1 < used && heap[child + 1]->due < heap[child]->due) {
            child++;
        }
        if (heap[child]->due >= timer->due) {
            break;
        }
        place(heap[child], at);
        at = child;
    }
    place(timer, at);
}

void timers_add(struct timer *timer) {
    if (used == room) {
        room = room > 0 ? room * 2 : 1024;
        struct timer **more = realloc(heap, room * sizeof(struct timer *));
        if (more == NULL) {
            die("no room for the timers", errno);
        }
        heap = more;
    }
    up(timer, used++);
}

void timers_remove(struct timer *timer) {
    size_t at = timer->place;
    if (at == NOT_WAITING) {
        return;
    }
    timer->place = NOT_WAITING;
    struct timer *last = heap[--used];
    if (last == timer) {
        return;
    }
    if (at > 0 && heap[(at - 1) / 2]->due > last->due) {
        up(last, at);
    } else {
        down(last, at);
    }
}

struct timer *timers_first(void) { return used > 0 ? heap[0] : NULL; }
