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

#include <stdatomic.h>

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

/* Some of the streams, all the way. */
static int run_streams(const void *job, int64_t task)
{
    const struct call *whole = job;
    int64_t from = whole->batch * task / whole->tasks, to = whole->batch * (task + 1) / whole->tasks;
    struct call c = *whole;
    c.batch = to - from;
    c.tokens += from, c.rows += from;
    c.memory[LOGITS] += from * c.stride[LOGITS];
    c.memory[REGISTER] = think_scratch(4 * (size_t)(c.batch * c.stride[REGISTER]));
    if (!c.memory[REGISTER])
        return NO_MEMORY;
    for (int64_t n = 0; n < c.count; n++)
        run_parts(&c, &c.ops[n], 0, parts_of(&c, &c.ops[n]));
    return 0;
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
    c.tasks = 1;
    (void)threads;
    int result = think_parallel(run_streams, &c, c.tasks, c.tasks);
    for (int64_t i = 0; i < batch && !result; i++)
        lengths[c.rows[i]]++;
    return result;
}
