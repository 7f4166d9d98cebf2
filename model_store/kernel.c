/* The heads of a bundle as one pass over the candidates, a few dozen at a time, whose numbers stay in the cache.
 *
 * What kernel.py calls `layout` and `weights` is read here in the same order; everything is float32, a matrix lies in
 * panels of 16 columns. Rows are worked on six at a time, the last ones repeated, and each row's sums are made in the
 * same order wherever it stands: a candidate's answer has the same bits alone and among others.
 */

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <limits.h>
#include <string.h>

_Static_assert(sizeof(long) == 8, "arrays are of int64; elsewhere the graphs serve");

#define LANES 8 /* of a vector */
#define PANEL 16 /* columns of a panel */
#define TILE 6 /* rows whose sums stay in registers */
#define ROWS 48 /* candidates of a part: what is made of them stays in the second cache */
#define LINE 64 /* bytes */
#define STEEP 80.0f /* how far a gate may be over the first one's */
#define OUTLIER 5.0f /* spreads from the mean at which a column of the context ends */
#define MOST_CHOICES 64 /* experts that a task sees */
#define MOST_TASKS 4096
#define MOST (1L << 20) /* of anything else: products of three stay far below 2^63 */
#define FIXED 15 /* numbers of a layout before the tasks' */

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
    const long *places, *owners; /* owners: in any order, side by side is sooner; NULL if all are of the first asker */
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

/* Whether a layout (count,) is one: whoever made the bundle, nothing beyond a buffer is read or written by it. */
static int right(const long *layout, long count)
{
    if (count < FIXED)
        return 0;
    for (long i = 0; i < FIXED; i++)
        if (layout[i] < 0 || layout[i] > MOST)
            return 0;
    long d = layout[0], experts = layout[1], hidden = layout[2], rest = layout[3], tasks = layout[4];
    long choices = layout[5], now = layout[6], tower = layout[7], width = layout[8];
    if (!d || !hidden || !tasks || tasks > MOST_TASKS || !choices || choices > MOST_CHOICES || !width
        || experts % hidden || rest < tasks * (choices - 1) || now % PANEL || tower % PANEL
        || count != FIXED + tasks * (1 + choices))
        return 0;
    const long *kinds = layout + FIXED, *seen = kinds + tasks;
    for (long t = 0; t < tasks; t++)
        if (kinds[t] < PAIR || kinds[t] > QUERY_ITEM)
            return 0;
    for (long c = 0; c < tasks * choices; c++)
        if (seen[c] < 0 || seen[c] >= experts / hidden)
            return 0;
    return 1;
}

/* The heads whose weights lie from `weights` on, and how many numbers these are; -1 if the layout is none. */
static long read_heads(const long *layout, long count, float *weights, struct heads *h)
{
    float *at = weights;
    if (!right(layout, count))
        return -1;
    h->d = layout[0], h->experts = layout[1], h->hidden = layout[2], h->rest = layout[3], h->tasks = layout[4];
    h->choices = layout[5], h->now = layout[6], h->tower = layout[7], h->width = layout[8];
    h->apart = layout[9] > 1; /* kinds of tasks */
    h->sees_user = layout[10], h->sees_query = layout[11], h->sees_context = layout[12];
    h->kinds = layout + FIXED, h->seen = h->kinds + h->tasks;
    h->gates = padded(h->rest, PANEL), h->wide = padded(h->width, PANEL);
    h->first = padded(h->experts + h->gates, PANEL);
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
    float nothing[1];
    if (PyObject_GetBuffer(layout, &view, PyBUF_SIMPLE))
        return NULL;
    long weights = read_heads(view.buf, view.len / sizeof(long), nothing, &heads);
    long rooms = weights < 0 ? 0 : furnish(&heads, nothing, &room);
    PyBuffer_Release(&view);
    if (weights < 0)
        return PyErr_Format(PyExc_ValueError, "the layout is not one of a kernel");
    return Py_BuildValue("ll", weights, rooms);
}

/* What score takes, in its order: the formats that it may have, `w` if it is written to, `o` if it may be None. */
enum { LAYOUT, WEIGHTS, ROOM, LOGITS, VECTORS, EXPERTS, REST, PLACES, OWNERS, USERS, QUERIES, ASKED, SHARED, OWN, COUNT };
static const struct { const char *name, *formats; int writable, optional; } TAKEN[COUNT] = {
    {"layout", "lq", 0, 0}, {"weights", "f", 0, 0}, {"room", "f", 1, 0}, {"logits", "f", 1, 0},
    {"vectors", "f", 0, 0}, {"experts", "f", 0, 0}, {"rest", "f", 0, 0}, {"places", "lq", 0, 0},
    {"owners", "lq", 0, 1}, {"users", "f", 0, 0}, {"queries", "f", 0, 1}, {"asked", "?", 0, 1},
    {"shared", "f", 0, 0}, {"own", "f", 0, 0},
};

/* The arrays of a call, those that are None empty; 0 and an error if one is not of the right kind. */
static int take(PyObject *const *args, Py_buffer *v)
{
    for (int n = 0; n < COUNT; n++) {
        if (TAKEN[n].optional && args[n] == Py_None)
            continue;
        if (PyObject_GetBuffer(args[n], v + n, PyBUF_FORMAT | PyBUF_C_CONTIGUOUS | (TAKEN[n].writable ? PyBUF_WRITABLE : 0)))
            return 0;
        if (!v[n].format || strlen(v[n].format) != 1 || !strchr(TAKEN[n].formats, v[n].format[0])) {
            PyErr_Format(PyExc_ValueError, "%s: numbers of kind %s do not fit", TAKEN[n].name, v[n].format);
            return 0;
        }
    }
    return 1;
}

static int holds(const Py_buffer *view, long count) { return view->len == count * view->itemsize; }

/* Rows of n numbers each; -1 if a buffer is not whole rows, as many as there may be if n is 0. */
static long rows_of(const Py_buffer *view, long n)
{
    if (!n)
        return view->len ? -1 : LONG_MAX;
    return view->len % (n * view->itemsize) ? -1 : view->len / (n * view->itemsize);
}

/* Whether the arrays fit the heads, and each other. */
static int fits(const struct heads *h, const struct call *call, const Py_buffer *v, long weights, long room)
{
    long items = least(rows_of(v + VECTORS, h->d), least(rows_of(v + EXPERTS, h->experts), rows_of(v + REST, h->rest)));
    long askers = rows_of(v + USERS, h->d), rows = call->rows;
    if (!holds(v + WEIGHTS, weights) || !holds(v + ROOM, room) || !holds(v + LOGITS, rows * h->width) || askers < 0
        || (call->queries && !holds(v + QUERIES, askers * h->d)) || (call->asked && !holds(v + ASKED, askers))
        || !holds(v + SHARED, askers * h->shared.inputs) || !holds(v + OWN, rows * h->own.inputs)
        || (call->owners && !holds(v + OWNERS, rows)))
        return 0;
    for (long n = 0; n < rows; n++) {
        long owner = call->owners ? call->owners[n] : 0;
        if (call->places[n] < 0 || call->places[n] >= items || owner < 0 || owner >= askers)
            return 0;
    }
    return 1;
}

static PyObject *score(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    Py_buffer v[COUNT] = {0};
    struct heads h;
    struct room room;
    PyObject *answer = NULL;
    if (count != COUNT + 1)
        return PyErr_Format(PyExc_TypeError, "score takes %d arguments", COUNT + 1);
    int plain = PyObject_IsTrue(args[COUNT]);
    if (plain >= 0 && take(args, v)) {
        long weights = read_heads(v[LAYOUT].buf, v[LAYOUT].len / sizeof(long), v[WEIGHTS].buf, &h);
        struct call call = {v[PLACES].len / sizeof(long), v[LOGITS].buf, v[VECTORS].buf, v[EXPERTS].buf, v[REST].buf,
                            v[USERS].buf, v[QUERIES].buf, v[SHARED].buf, v[OWN].buf, v[PLACES].buf, v[OWNERS].buf,
                            v[ASKED].buf};
        if (weights >= 0 && !h.sees_query)
            call.queries = NULL;
        if (weights >= 0 && fits(&h, &call, v, weights, furnish(&h, v[ROOM].buf, &room))) {
            Py_BEGIN_ALLOW_THREADS
            run(&h, &call, &room, plain);
            Py_END_ALLOW_THREADS
            answer = Py_NewRef(Py_None);
        } else
            PyErr_SetString(PyExc_ValueError, "the arrays do not fit the layout, or each other");
    }
    for (int n = 0; n < COUNT; n++)
        PyBuffer_Release(v + n);
    return answer;
}

static PyMethodDef methods[] = {
    {"sizes", sizes, METH_O, "sizes(layout, /) -> how many float32 the weights are, and the room that a run needs."},
    {"score", (PyCFunction)(void (*)(void))score, METH_FASTCALL,
     "score(layout, weights, room, logits, vectors, experts, rest, places, owners, users, queries, asked, shared, own,\n"
     "      plain, /)\n\n"
     "Write the logits (n, W) of n candidates. Raises ValueError if the arrays do not fit."},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef module = {
    .m_base = PyModuleDef_HEAD_INIT, .m_name = "_kernel", .m_doc = "The heads in one pass; see kernel.py.", .m_methods = methods,
};

PyMODINIT_FUNC PyInit__kernel(void) { return PyModuleDef_Init(&module); }
