/* The heads of a bundle as one pass over the candidates, a few dozen at a time, whose numbers stay in the cache.
 *
 * What kernel.py calls `layout` and `weights` is read here in the same order; everything is float32, a matrix lies in
 * panels of 16 columns. Rows are worked on six at a time, the last ones repeated, and each row's sums are made in the
 * same order wherever it stands: a candidate's answer has the same bits alone and among others.
 */

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <string.h>

#define LANES 8 /* of a vector */
#define PANEL 16 /* columns of a panel */
#define TILE 6 /* rows whose sums stay in registers */
#define ROWS 48 /* candidates of a part: what is made of them stays in the second cache */
#define LINE 64 /* bytes */
#define STEEP 80.0f /* how far a gate may be over the first one's */
#define OUTLIER 5.0f /* spreads from the mean at which a column of the context ends */
#define MOST_CHOICES 64 /* experts that a task sees */

typedef float vector __attribute__((vector_size(LANES * sizeof(float))));
typedef int lanes __attribute__((vector_size(LANES * sizeof(int))));
typedef float loose __attribute__((vector_size(LANES * sizeof(float)), aligned(sizeof(float)), may_alias));

enum { PAIR, USER_ITEM, QUERY_ITEM };

struct layer { /* what the context adds to the first layer, and to the tower of now */
    long inputs;
    const float *mean, *inverse, *first, *now;
};

struct heads {
    long d, experts, hidden, rest, gates, tasks, choices, now, tower, width, wide, first;
    int apart, sees_user, sees_query, sees_context;
    const long *kinds, *seen; /* (tasks,), (tasks, choices) */
    const float *user_row, *user, *item_user, *query_row, *query, *item_query;
    struct layer shared, own;
    const float *now_row, *now_second, *tower_rows, *towers, *last_row, *last;
};

struct call { /* rows candidates of some askers */
    long rows;
    float *logits;
    const float *vectors, *experts, *rest, *users, *queries, *shared, *own;
    const long *places, *owners; /* owners: NULL if all are of the first asker */
    const char *asked; /* which askers have a query; NULL if all have */
};

struct part { /* the candidates that are worked on: rows of them, full with those that fill the last tile */
    long begin, rows, full, slots[ROWS + TILE];
    int asks; /* one of their askers has a query */
};

struct room { /* of one thread */
    float *user, *query, *by_user, *by_query, *shared, *by_shared, *now_shared; /* a row an asker of the part */
    float *item_user, *item_query, *known, *asked, *pair, *own, *rest, *mixed, *now, *last, *logits;
};

static long least(long a, long b) { return a < b ? a : b; }
static long padded(long n, long step) { return (n + step - 1) / step * step; }

static int has_query(const struct call *call, long asker) { return call->queries && (!call->asked || call->asked[asker]); }

/* Which asker of the part each of its candidates belongs to; whether these are others than before. */
static int parted(const struct call *call, struct part *part, long *who, long *count)
{
    long before = *count == 1 ? who[0] : -1, found = 0;
    for (long r = 0; r < part->rows; r++) {
        long owner = call->owners ? call->owners[part->begin + r] : 0;
        if (!found || who[found - 1] != owner)
            who[found++] = owner;
        part->slots[r] = found - 1;
    }
    for (long r = part->rows; r < part->full; r++)
        part->slots[r] = 0;
    part->asks = 0;
    for (long n = 0; n < found; n++)
        part->asks |= has_query(call, who[n]);
    *count = found;
    return found > 1 || who[0] != before;
}

#if defined(__x86_64__)
#define NAME(x) x##_avx2
#define TARGET __attribute__((target("avx2,fma")))
#include "kernel.inc"
#undef NAME
#undef TARGET
#endif

#define NAME(x) x##_plain
#define TARGET
#include "kernel.inc"

/* plain: as on a processor of which nothing is known. */
static void run(const struct heads *heads, const struct call *call, struct room *room, int plain)
{
#if defined(__x86_64__)
    if (!plain && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
        run_avx2(heads, call, room);
        return;
    }
#endif
    run_plain(heads, call, room);
}

/* The next n numbers of a buffer, on a line of the cache if the buffer begins on one. */
static float *next(float **at, long n)
{
    float *found = *at;
    *at += padded(n, LINE / sizeof(float));
    return found;
}

static struct layer read_layer(long inputs, const struct heads *h, float **at)
{
    struct layer layer = {.inputs = inputs};
    layer.mean = next(at, inputs);
    layer.inverse = next(at, inputs);
    layer.first = next(at, inputs * h->first);
    layer.now = next(at, inputs * h->now);
    return layer;
}

/* The heads that lie at `weights`, and how many numbers that are; -1 if the layout (count,) is none. */
static long read_heads(const long *layout, long count, float *weights, struct heads *h)
{
    float *at = weights;
    if (count < 13)
        return -1;
    h->d = layout[0], h->experts = layout[1], h->hidden = layout[2], h->rest = layout[3], h->tasks = layout[4];
    h->choices = layout[5], h->now = layout[6], h->tower = layout[7], h->width = layout[8];
    h->apart = layout[9] > 1, h->sees_user = layout[10], h->sees_query = layout[11], h->sees_context = layout[12];
    if (h->choices > MOST_CHOICES || count != 15 + h->tasks * (1 + h->choices))
        return -1;
    h->kinds = layout + 15, h->seen = h->kinds + h->tasks;
    h->gates = padded(h->rest, PANEL), h->wide = padded(h->width, PANEL), h->first = padded(h->experts + h->gates, PANEL);
    h->user_row = next(&at, h->first);
    h->user = next(&at, h->d * h->first);
    h->item_user = next(&at, h->d * h->first);
    h->query_row = next(&at, h->first);
    h->query = next(&at, h->d * h->first);
    h->item_query = next(&at, h->d * h->first);
    h->shared = read_layer(layout[13], h, &at);
    h->own = read_layer(layout[14], h, &at);
    h->now_row = next(&at, h->now);
    h->now_second = next(&at, h->now * h->tower);
    h->tower_rows = next(&at, (h->tasks + 1) * h->tower);
    h->towers = next(&at, h->tasks * h->hidden * h->tower);
    h->last_row = next(&at, h->wide);
    h->last = next(&at, ((h->tasks + 1) * h->tower + h->gates) * h->wide);
    return at - weights;
}

/* The room that a run needs, beginning at `from`, and how many numbers that are. */
static long furnish(const struct heads *h, float *from, struct room *room)
{
    float *at = from;
    room->user = next(&at, ROWS * h->d), room->query = next(&at, ROWS * h->d);
    room->by_user = next(&at, ROWS * h->first), room->by_query = next(&at, ROWS * h->first);
    room->shared = next(&at, ROWS * h->shared.inputs), room->by_shared = next(&at, ROWS * h->first);
    room->now_shared = next(&at, ROWS * h->now);
    room->item_user = next(&at, ROWS * h->d), room->item_query = next(&at, ROWS * h->d);
    room->known = next(&at, ROWS * h->first), room->asked = next(&at, ROWS * h->first);
    room->pair = next(&at, ROWS * h->first), room->own = next(&at, ROWS * h->own.inputs);
    room->rest = next(&at, ROWS * h->gates), room->mixed = next(&at, ROWS * h->tasks * h->hidden);
    room->now = next(&at, ROWS * h->now);
    room->last = next(&at, ROWS * ((h->tasks + 1) * h->tower + h->gates));
    room->logits = next(&at, ROWS * h->wide);
    return at - from;
}

static PyObject *sizes(PyObject *self, PyObject *layout)
{
    Py_buffer view;
    struct heads heads;
    struct room room;
    if (PyObject_GetBuffer(layout, &view, PyBUF_SIMPLE))
        return NULL;
    long weights = read_heads(view.buf, view.len / sizeof(long), NULL, &heads);
    long rooms = weights < 0 ? 0 : furnish(&heads, NULL, &room);
    PyBuffer_Release(&view);
    if (weights < 0)
        return PyErr_Format(PyExc_ValueError, "the layout is not one of a kernel");
    return Py_BuildValue("ll", weights, rooms);
}

/* Whether a buffer holds so many things of 8 or 4 bytes. */
static int holds(const Py_buffer *view, long count, long size) { return view->len == count * size; }

static PyObject *score(PyObject *self, PyObject *args)
{
    enum { LAYOUT, WEIGHTS, ROOM, LOGITS, VECTORS, EXPERTS, REST, PLACES, OWNERS, USERS, QUERIES, ASKED, SHARED, OWN, COUNT };
    Py_buffer v[COUNT] = {0};
    struct heads h;
    struct room room;
    PyObject *answer = NULL;
    int plain = 0;
    if (!PyArg_ParseTuple(args, "y*y*w*w*y*y*y*y*z*y*z*z*y*y*p", v, v + 1, v + 2, v + 3, v + 4, v + 5, v + 6, v + 7, v + 8,
                          v + 9, v + 10, v + 11, v + 12, v + 13, &plain))
        return NULL;
    long weights = read_heads(v[LAYOUT].buf, v[LAYOUT].len / sizeof(long), v[WEIGHTS].buf, &h), right = 0;
    if (weights >= 0) {
        long rows = v[PLACES].len / sizeof(long), items = v[VECTORS].len / (h.d * sizeof(float));
        long askers = v[USERS].len / (h.d * sizeof(float));
        struct call call = {rows, v[LOGITS].buf, v[VECTORS].buf, v[EXPERTS].buf, v[REST].buf, v[USERS].buf,
                            v[QUERIES].buf, v[SHARED].buf, v[OWN].buf, v[PLACES].buf, v[OWNERS].buf, v[ASKED].buf};
        if (!h.sees_query)
            call.queries = NULL;
        right = holds(v + WEIGHTS, weights, 4) && holds(v + ROOM, furnish(&h, v[ROOM].buf, &room), 4)
                && holds(v + LOGITS, rows * h.width, 4) && holds(v + VECTORS, items * h.d, 4)
                && holds(v + EXPERTS, items * h.experts, 4) && holds(v + REST, items * h.rest, 4)
                && holds(v + USERS, askers * h.d, 4) && (!call.queries || holds(v + QUERIES, askers * h.d, 4))
                && (!call.asked || holds(v + ASKED, askers, 1)) && holds(v + SHARED, askers * h.shared.inputs, 4) && holds(v + OWN, rows * h.own.inputs, 4)
                && (!call.owners || holds(v + OWNERS, rows, sizeof(long)));
        for (long n = 0; right && n < rows; n++)
            right = call.places[n] >= 0 && call.places[n] < items
                    && (!call.owners || (call.owners[n] >= 0 && call.owners[n] < askers));
        if (right) {
            Py_BEGIN_ALLOW_THREADS
            run(&h, &call, &room, plain);
            Py_END_ALLOW_THREADS
            answer = Py_NewRef(Py_None);
        }
    }
    for (int n = 0; n < COUNT; n++)
        PyBuffer_Release(v + n);
    if (!right)
        PyErr_SetString(PyExc_ValueError, "the arrays do not fit the layout, or each other");
    return answer;
}

static PyMethodDef methods[] = {
    {"sizes", sizes, METH_O, "sizes(layout, /) -> how many float32 the weights are, and the room that a run needs."},
    {"score", score, METH_VARARGS,
     "score(layout, weights, room, logits, vectors, experts, rest, places, owners, users, queries, asked, shared, own,\n"
     "      plain, /)\n\n"
     "Write the logits (n, W) of n candidates. Raises ValueError if the arrays do not fit."},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "_kernel", "The heads in one pass; see kernel.py.", 0, methods};

PyMODINIT_FUNC PyInit__kernel(void) { return PyModuleDef_Init(&module); }
