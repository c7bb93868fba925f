/* One token of a decoding program for a batch of streams; think/kernels/decode/README.md tells what the operations do.
 *
 * A stream's numbers never meet another's, and every sum over inputs is taken in one order, whatever the batch and the
 * threads are: many streams give the bytes that each gives alone.
 *
 * Threads: with several streams for each, every thread takes some of them through the whole program and none waits.
 * With fewer, one thread goes through the program; the others stand by and take parts of its large operations, when
 * they are awake. It never waits for a thread that has not taken a part.
 */
#include "decode_elements.h"
#include "decode_matrix.h"
#include "decode_state.h"

#include <sched.h>
#include <stdatomic.h>

#if defined(__x86_64__)
#include <immintrin.h>
#define PAUSE() _mm_pause()
#else
#define PAUSE() ((void)0)
#endif

enum { STREAMS_EACH = 2 }; /* streams for each thread from which on reading all weights in each costs less than waiting */

/* Parts that an operation can be cut into. */
static int64_t parts_of(const struct call *c, const struct op *op)
{
    switch (op->kind) {
    case LINEAR: return (op->size[0] + BLOCK - 1) / BLOCK;
    case RWKV6: case SSD: case ATTENTION: return c->batch * op->size[0];
    default: return 1;
    }
}

static void run_parts(const struct call *c, const struct op *op, int64_t from, int64_t to)
{
    switch (op->kind) {
#define ONE(kind) case kind: map_one(c, op, kind); return;
    ONE(COPY) ONE(SCALE) ONE(TANH) ONE(SIGMOID) ONE(SILU) ONE(SOFTPLUS) ONE(RELU_SQUARE) ONE(GELU) ONE(CAP) ONE(DECAY)
    ONE(POSITIVE)
#define SEVERAL(kind, inputs) case kind: map_several(c, op, kind, inputs); return;
    SEVERAL(ADD, 2) SEVERAL(MULTIPLY, 2) SEVERAL(ADDCMUL, 3) SEVERAL(LERP, 3) SEVERAL(GATE, 2)
    case EMBED: embed(c, op); return;
    case NORM: norm(c, op); return;
    case GROUP_NORM: group_norm(c, op); return;
    case LINEAR: linear(c, op, from, to); return;
    case CONV: conv(c, op); return;
    case ROTARY: rotary(c, op); return;
    case TURN: turn(c, op); return;
    }
    for (int64_t part = from; part < to; part++) {
        int64_t i = part / op->size[0], head = part % op->size[0];
        if (op->kind == RWKV6)
            rwkv6(c, op, i, head);
        else if (op->kind == SSD)
            ssd(c, op, i, head);
        else
            attention(c, op, i, head);
    }
}

static void run_all(const struct call *c, const struct op *op) { run_parts(c, op, 0, parts_of(c, op)); }

/* ---- streams divided among threads */

struct division {
    struct call whole;
    int64_t tasks;
};

static int run_streams(const void *job, int64_t task)
{
    const struct division *d = job;
    struct call c = d->whole;
    int64_t from = c.batch * task / d->tasks, to = c.batch * (task + 1) / d->tasks;
    c.batch = to - from;
    c.tokens += from, c.rows += from;
    c.memory[LOGITS] += from * c.stride[LOGITS];
    c.memory[REGISTER] = think_scratch(4 * (size_t)(c.batch * c.stride[REGISTER]));
    if (!c.memory[REGISTER])
        return NO_MEMORY;
    for (int64_t n = 0; n < c.count; n++)
        run_all(&c, &c.ops[n]);
    return 0;
}

/* ---- one program whose large operations are divided among threads */

#define NOTHING 0xffffffffu
enum { SMALL = 1 << 15, SPINS = 4096 }; /* bytes that one thread has read sooner than two agree; turns before others may run */

struct shared {
    struct call c; /* complete before the first ticket */
    atomic_ullong ticket; /* first operation of a group, and the next of its parts that nobody has taken */
    atomic_llong done;
};

static int64_t parts_of_group(const struct call *c, const struct op *op)
{
    int64_t parts = 0;
    for (int64_t n = 0; n < op->together; n++)
        parts += parts_of(c, op + n);
    return parts;
}

static void run_part_of_group(const struct call *c, const struct op *op, int64_t part)
{
    for (; part >= parts_of(c, op); op++)
        part -= parts_of(c, op);
    run_parts(c, op, part, part + 1);
}

static int64_t bytes_of_group(const struct call *c, const struct op *op)
{
    int64_t bytes = 0;
    for (int64_t n = 0; n < op->together; n++, op++) {
        if (op->kind == LINEAR)
            bytes += 4 * op->size[0] * op->size[1];
        else if (op->kind == RWKV6 || op->kind == SSD)
            bytes += 8 * c->batch * op->size[0] * op->size[1] * op->size[2];
        else if (op->kind == ATTENTION)
            bytes += 8 * c->batch * op->size[0] * op->size[1] * op->size[2];
    }
    return bytes;
}

/* Take parts of group `n` until there are none; gives how many this thread did. */
static int64_t take_parts(struct shared *s, int64_t n)
{
    const struct op *op = &s->c.ops[n];
    int64_t parts = parts_of_group(&s->c, op), mine = 0;
    unsigned long long seen = atomic_load_explicit(&s->ticket, memory_order_acquire);
    while ((int64_t)(seen >> 32) == n && (int64_t)(seen & NOTHING) < parts)
        if (atomic_compare_exchange_weak(&s->ticket, &seen, seen + 1)) {
            run_part_of_group(&s->c, op, (int64_t)(seen & NOTHING));
            atomic_fetch_add_explicit(&s->done, 1, memory_order_release);
            mine++;
            seen = atomic_load_explicit(&s->ticket, memory_order_acquire);
        }
    return mine;
}

static void lead(struct shared *s)
{
    for (int64_t n = 0; n < s->c.count; n += s->c.ops[n].together) {
        const struct op *op = &s->c.ops[n];
        if (bytes_of_group(&s->c, op) <= SMALL) {
            for (int64_t i = 0; i < op->together; i++)
                run_all(&s->c, op + i);
            continue;
        }
        int64_t parts = parts_of_group(&s->c, op);
        atomic_store_explicit(&s->done, 0, memory_order_relaxed);
        atomic_store_explicit(&s->ticket, (unsigned long long)n << 32, memory_order_release);
        take_parts(s, n);
        for (int64_t spin = 0; atomic_load_explicit(&s->done, memory_order_acquire) < parts; spin++)
            if (spin < SPINS)
                PAUSE();
            else
                sched_yield();
    }
}

static void help(struct shared *s)
{
    for (int64_t spin = 0;;) {
        unsigned long long seen = atomic_load_explicit(&s->ticket, memory_order_acquire);
        int64_t n = (int64_t)(seen >> 32);
        if (n >= s->c.count)
            return;
        if ((seen & NOTHING) != NOTHING && take_parts(s, n))
            spin = 0;
        else if (++spin < SPINS)
            PAUSE();
        else
            sched_yield();
    }
}

/* Task 0 leads and is begun first, so whoever runs another one is either beside it or comes when all is done. */
static int run_shared(const void *job, int64_t task)
{
    struct shared *s = *(struct shared *const *)job;
    if (task) {
        help(s);
        return 0;
    }
    s->c.memory[REGISTER] = think_scratch(4 * (size_t)(s->c.batch * s->c.stride[REGISTER]));
    if (s->c.memory[REGISTER])
        lead(s);
    atomic_store_explicit(&s->ticket, (unsigned long long)s->c.count << 32 | NOTHING, memory_order_release);
    return s->c.memory[REGISTER] ? 0 : NO_MEMORY;
}

/* Code int64 [count, WORDS]; tokens_and_rows int64 [2, batch]; lengths int64 [streams]; state and ring [streams, width]. */
KERNEL(decode)(const struct op *code, int64_t count, int64_t batch, const int64_t *tokens_and_rows, int64_t *lengths,
               int64_t registers, float *state, int64_t state_width, float *ring, int64_t ring_width, float *weights,
               float *logits, int64_t vocabulary, int64_t threads)
{
    struct call c = {
        .ops = code, .count = count, .batch = batch, .tokens = tokens_and_rows, .rows = tokens_and_rows + batch,
        .lengths = lengths, .memory = {NULL, state, ring, weights, logits},
        .stride = {registers, state_width, ring_width, 0, vocabulary},
    };
    int result;
    if (threads == 1 || batch >= STREAMS_EACH * threads) {
        struct division d = {c, threads < batch ? threads : batch};
        result = think_parallel(run_streams, &d, d.tasks, threads);
    } else {
        struct shared s = {.c = c}, *job = &s;
        atomic_init(&s.ticket, NOTHING);
        atomic_init(&s.done, 0);
        result = think_parallel(run_shared, &job, threads, threads);
    }
    for (int64_t i = 0; i < batch && !result; i++)
        lengths[c.rows[i]]++;
    return result;
}
