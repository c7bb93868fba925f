/* Mamba-2's recurrence in chunks of 32 tokens, each a handful of small matrix products.
 *
 *     S_t = exp(dt_t A) S_{t-1} + dt_t x_t B_t^T          y_t = S_t C_t + D x_t
 *
 * A task is one head of one row. Inside a chunk y = (L * C B^T)(dt x) + since (C S^T) + D x; ../ssd/README.md has the
 * derivation. The state stands transposed, [N, P], so that all products run along the width of the head. Forward keeps
 * the states at multiples of CHUNK; backward walks from the last chunk to the first and never divides by a decay.
 *
 * B batch  T time  H heads  P head width  N state width  G groups; p, n: padded to whole vectors
 */
#include "chunk.h"

typedef struct {
    const void *x;
    const float *dt, *A;
    const void *B, *C;
    const float *D, *state;
    const uint8_t *reset;
    const float *fresh;
    void *y;
    float *last, *kept;
    /* of the gradient */
    const void *d_y;
    const float *d_last;
    void *d_x;
    float *d_dt, *d_A, *d_B_heads, *d_C_heads, *d_D, *d_state, *d_fresh;
    void *d_B, *d_C;
    int64_t batch, time, heads, groups, width, size, kind;
} job;

/* Where a task's numbers begin: `head` in [B, T, H, ..], `group` in [B, T, G, ..], `at` in [B, H]. */
typedef struct {
    int64_t at, head, group, p, n, grid;
    const uint8_t *reset;
    const float *fresh;
} place;

static place place_of(const job *j, int64_t task)
{
    int64_t b = task / j->heads, h = task % j->heads, g = h / (j->heads / j->groups);
    return (place){
        .at = task,
        .head = b * j->time * j->heads + h,
        .group = b * j->time * j->groups + g,
        .p = round_up(j->width, WIDTH),
        .n = round_up(j->size, WIDTH),
        .grid = (j->time + CHUNK - 1) / CHUNK,
        .reset = j->reset ? j->reset + b * j->time : NULL,
        .fresh = j->fresh ? j->fresh + h * j->width * j->size : NULL,
    };
}

/* What both passes need of a chunk. */
typedef struct {
    float *x, *moved, *B, *C, *across; /* [CHUNK, p] twice, [CHUNK, n] twice, B transposed [n, CHUNK] */
    float dt[CHUNK], pairs[CHUNK][CHUNK];
    decays decay;
} chunk;

static float *carve(chunk *c, const place *at, float *memory)
{
    c->x = memory, memory += CHUNK * at->p;
    c->moved = memory, memory += CHUNK * at->p;
    c->B = memory, memory += CHUNK * at->n;
    c->C = memory, memory += CHUNK * at->n;
    c->across = memory, memory += CHUNK * at->n;
    return memory;
}

/* Reads a chunk; leaves C B^T in `pairs`, right up to the diagonal. */
static void read_chunk(const job *j, const place *at, int64_t begin, int64_t length, chunk *c)
{
    int64_t head = at->head + begin * j->heads, group = at->group + begin * j->groups;
    int64_t h = at->at % j->heads;
    read_rows(c->x, at->p, j->x, head * j->width, j->heads * j->width, length, j->width, j->kind);
    read_rows(c->B, at->n, j->B, group * j->size, j->groups * j->size, length, j->size, j->kind);
    read_rows(c->C, at->n, j->C, group * j->size, j->groups * j->size, length, j->size, j->kind);
    for (int64_t t = 0; t < length; t++) {
        c->dt[t] = j->dt[head + t * j->heads];
        c->decay.log[t] = c->dt[t] * j->A[h];
        scaled(c->moved + t * at->p, c->x + t * at->p, c->dt[t], at->p);
    }
    fill_decays(&c->decay, length);
    if (length < CHUNK)
        memset(c->across, 0, sizeof(float) * at->n * CHUNK);
    transpose(length, at->n, c->B, at->n, c->across, CHUNK);
    multiply(length, CHUNK, j->size, c->C, at->n, 1, c->across, CHUNK, c->pairs[0], CHUNK, SET, OUT_LOWER);
}

static int forward(const void *given, int64_t task)
{
    const job *j = given;
    place at = place_of(j, task);
    chunk c;
    float *memory = think_scratch(sizeof(float) * (CHUNK * (3 * at.p + 4 * at.n) + at.n * at.p + at.n * at.p));
    if (!memory)
        return NO_MEMORY;
    float *y = carve(&c, &at, memory), *since = y + CHUNK * at.p, *state = since + CHUNK * at.n;
    float *turned = state + at.n * at.p; /* [P, n] */
    float skip = j->D[task % j->heads];
    read_state(turned, at.n, j->state + task * j->width * j->size, j->width, j->size);
    memset(state, 0, sizeof(float) * at.n * at.p);
    transpose(j->width, j->size, turned, at.n, state, at.p);

    for (int64_t begin = 0, end; begin < j->time; begin = end) {
        end = chunk_end(at.reset, begin, j->time);
        int64_t length = end - begin;
        if (at.reset && at.reset[begin]) {
            read_state(turned, at.n, at.fresh, j->width, j->size);
            transpose(j->width, j->size, turned, at.n, state, at.p);
        }
        if (j->kept && begin % CHUNK == 0)
            write_state(j->kept + (task * at.grid + begin / CHUNK) * j->size * j->width, state, at.p, j->size, j->width);
        read_chunk(j, &at, begin, length, &c);
        times_between(c.pairs, &c.decay, length);
        for (int64_t t = 0; t < length; t++)
            scaled(since + t * at.n, c.C + t * at.n, c.decay.since[t], at.n);
        multiply(length, at.p, j->size, since, at.n, 1, state, at.p, y, at.p, SET, WHOLE);
        multiply(length, at.p, length, c.pairs[0], CHUNK, 1, c.moved, at.p, y, at.p, ADD, LEFT_LOWER);
        int64_t head = (at.head + begin * j->heads) * j->width;
        for (int64_t t = 0; t < length; t++) {
            add_scaled(y + t * at.p, c.x + t * at.p, skip, at.p);
            write_row(j->y, head + t * j->heads * j->width, y + t * at.p, j->width, j->kind);
            scale(c.moved + t * at.p, c.decay.between[length - 1][t], at.p);
        }
        scale(state, c.decay.since[length - 1], at.n * at.p);
        multiply(j->size, at.p, length, c.B, 1, at.n, c.moved, at.p, state, at.p, ADD, WHOLE);
    }
    transpose(j->size, j->width, state, at.p, turned, at.n);
    write_state(j->last + task * j->width * j->size, turned, at.n, j->width, j->size);
    return 0;
}

/* d_state [N, p] is the gradient of the state that leaves the chunk, and becomes that of the one that enters it. */
typedef struct {
    float *state, *turned, *d_state, *d_turned;
    float *d_y, *d_x, *d_B, *d_C, *moved_across;
    float d_pairs[CHUNK][CHUNK], read[CHUNK], sent[CHUNK], d_log[CHUNK];
} gradient;

static void backward_chunk(const job *j, const place *at, int64_t begin, int64_t length, chunk *c, gradient *d)
{
    int64_t p = at->p, n = at->n, head = at->head + begin * j->heads;
    const float *since = c->decay.since, *to_end = c->decay.between[length - 1];
    read_rows(d->d_y, p, j->d_y, head * j->width, j->heads * j->width, length, j->width, j->kind);
    memset(d->turned, 0, sizeof(float) * j->width * n);
    memset(d->d_turned, 0, sizeof(float) * j->width * n);
    transpose(j->size, j->width, d->state, p, d->turned, n);
    transpose(j->size, j->width, d->d_state, p, d->d_turned, n);
    if (length < CHUNK)
        memset(d->moved_across, 0, sizeof(float) * p * CHUNK);
    transpose(length, p, c->moved, p, d->moved_across, CHUNK);

    /* y = (pairs * between) moved */
    multiply(length, CHUNK, j->width, d->d_y, p, 1, d->moved_across, CHUNK, d->d_pairs[0], CHUNK, SET, OUT_LOWER);
    times_between(d->d_pairs, &c->decay, length);
    /* moved reaches the state that leaves, and later outputs of the chunk */
    multiply(length, p, j->size, c->B, n, 1, d->d_state, p, d->d_x, p, SET, WHOLE);
    multiply(length, n, j->width, d->d_y, p, 1, d->turned, n, d->d_C, n, SET, WHOLE);
    multiply(length, n, j->width, c->moved, p, 1, d->d_turned, n, d->d_B, n, SET, WHOLE);
    float carried = dot(d->d_state, d->state, j->size * p) * since[length - 1];
    for (int64_t t = 0; t < length; t++) {
        scale(d->d_x + t * p, to_end[t], p);
        d->sent[t] = dot(d->d_x + t * p, c->moved + t * p, p);
        scale(d->d_B + t * n, to_end[t], n);
        scale(d->d_C + t * n, since[t], n);
        d->read[t] = dot(d->d_C + t * n, c->C + t * n, n);
    }
    multiply(length, n, length, d->d_pairs[0], CHUNK, 1, c->B, n, d->d_C, n, ADD, LEFT_LOWER);
    multiply(length, n, length, d->d_pairs[0], 1, CHUNK, c->C, n, d->d_B, n, ADD, LEFT_UPPER);
    for (int64_t t = 0; t < length; t++)
        for (int64_t s = 0; s < CHUNK; s += WIDTH) {
            vec met = load(c->pairs[t] + s), decay = load(c->decay.between[t] + s);
            vec inside = decay != 0.0f; /* above the diagonal anything may stand */
            store(d->d_pairs[t] + s, choose((ivec)inside, load(d->d_pairs[t] + s) * met, (vec){0}));
            store(c->pairs[t] + s, choose((ivec)inside, met * decay, (vec){0}));
        }
    multiply(length, p, length, c->pairs[0], 1, CHUNK, d->d_y, p, d->d_x, p, ADD, LEFT_UPPER);
    decay_gradients(d->d_pairs, d->read, d->sent, carried, length, d->d_log);

    /* the state that enters */
    for (int64_t t = 0; t < length; t++)
        scaled(d->turned + t * n, c->C + t * n, since[t], n);
    scale(d->d_state, since[length - 1], j->size * p);
    multiply(j->size, p, length, d->turned, 1, n, d->d_y, p, d->d_state, p, ADD, WHOLE);
}

static int backward(const void *given, int64_t task)
{
    const job *j = given;
    place at = place_of(j, task);
    chunk c;
    gradient d;
    int64_t p = at.p, n = at.n, rows = round_up(j->width > CHUNK ? j->width : CHUNK, 4);
    float *memory = think_scratch(sizeof(float) * (CHUNK * (2 * p + 3 * n) + 2 * n * p + 2 * rows * n + CHUNK * (3 * p + 2 * n)));
    if (!memory)
        return NO_MEMORY;
    d.state = carve(&c, &at, memory), d.d_state = d.state + n * p;
    d.turned = d.d_state + n * p, d.d_turned = d.turned + rows * n;
    d.d_y = d.d_turned + rows * n, d.d_x = d.d_y + CHUNK * p, d.moved_across = d.d_x + CHUNK * p;
    d.d_B = d.moved_across + CHUNK * p, d.d_C = d.d_B + CHUNK * n;
    int64_t h = task % j->heads, states = j->size * j->width;
    float skip = j->D[h], d_rate = 0.0f, d_skip = 0.0f;
    float *d_fresh = j->d_fresh ? j->d_fresh + task * states : NULL;
    if (d_fresh)
        memset(d_fresh, 0, sizeof(float) * states);
    read_state(d.turned, n, j->d_last + task * states, j->width, j->size);
    memset(d.d_state, 0, sizeof(float) * n * p);
    transpose(j->width, j->size, d.turned, n, d.d_state, p);

    for (int64_t end = j->time, begin; end > 0; end = begin) {
        begin = chunk_begin(at.reset, end);
        int64_t length = end - begin, head = at.head + begin * j->heads;
        int begins = at.reset && at.reset[begin];
        if (begins) {
            read_state(d.turned, n, at.fresh, j->width, j->size);
            memset(d.state, 0, sizeof(float) * n * p);
            transpose(j->width, j->size, d.turned, n, d.state, p);
        } else
            read_state(d.state, p, j->kept + (task * at.grid + begin / CHUNK) * states, j->size, j->width);
        read_chunk(j, &at, begin, length, &c);
        backward_chunk(j, &at, begin, length, &c, &d);
        for (int64_t t = 0; t < length; t++) {
            float *d_x = d.d_x + t * p, *d_y = d.d_y + t * p, *x = c.x + t * p;
            int64_t token = head + t * j->heads;
            j->d_dt[token] = dot(d_x, x, p) + d.d_log[t] * j->A[h];
            d_rate += d.d_log[t] * c.dt[t];
            d_skip += dot(d_y, x, p);
            scale(d_x, c.dt[t], p);
            add_scaled(d_x, d_y, skip, p);
            write_row(j->d_x, token * j->width, d_x, j->width, j->kind);
            write_row(j->d_B_heads, token * j->size, d.d_B + t * n, j->size, FLOAT32);
            write_row(j->d_C_heads, token * j->size, d.d_C + t * n, j->size, FLOAT32);
        }
        if (begins) {
            if (d_fresh) {
                transpose(j->size, j->width, d.d_state, p, d.turned, n);
                for (int64_t row = 0; row < j->width; row++)
                    for (int64_t i = 0; i < j->size; i++)
                        d_fresh[row * j->size + i] += d.turned[row * n + i];
            }
            memset(d.d_state, 0, sizeof(float) * n * p);
        }
    }
    transpose(j->size, j->width, d.d_state, p, d.turned, n);
    write_state(j->d_state + task * states, d.turned, n, j->width, j->size);
    j->d_A[task] = d_rate;
    j->d_D[task] = d_skip;
    return 0;
}

/* The gradients of B and C in one row of the batch: sums over the heads of each group, in their order. */
static int add_heads(const void *given, int64_t task)
{
    const job *j = given;
    int64_t shared = j->heads / j->groups, count = j->time * j->groups;
    float *sum = think_scratch(sizeof(float) * j->size);
    if (!sum)
        return NO_MEMORY;
    for (int64_t i = task * count; i < (task + 1) * count; i++)
        for (int which = 0; which < 2; which++) {
            const float *from = (which ? j->d_C_heads : j->d_B_heads) + i * shared * j->size;
            memcpy(sum, from, sizeof(float) * j->size);
            for (int64_t s = 1; s < shared; s++)
                for (int64_t k = 0; k < j->size; k++)
                    sum[k] += from[s * j->size + k];
            write_row(which ? j->d_C : j->d_B, i * j->size, sum, j->size, j->kind);
        }
    return 0;
}

/* kept: NULL when no gradient will be asked for, else [B, H, ceil(T / CHUNK), N, P]; x, B, C, y are of `kind`. */
KERNEL(ssd_forward)(const void *x, const float *dt, const float *A, const void *B, const void *C, const float *D,
                        const float *state, const uint8_t *reset, const float *fresh, void *y, float *last, float *kept,
                        int64_t batch, int64_t time, int64_t heads, int64_t groups, int64_t width, int64_t size,
                        int64_t kind, int64_t threads)
{
    job j = {.x = x, .dt = dt, .A = A, .B = B, .C = C, .D = D, .state = state, .reset = reset, .fresh = fresh,
             .y = y, .last = last, .kept = kept, .batch = batch, .time = time, .heads = heads, .groups = groups,
             .width = width, .size = size, .kind = kind};
    return think_parallel(forward, &j, batch * heads, threads);
}

/* d_A, d_D [B, H] and d_fresh [B, H, P, N] are for the caller to sum over rows; d_B_heads, d_C_heads [B, T, H, N] are
 * scratch; d_x, d_B, d_C are of `kind`. */
KERNEL(ssd_backward)(const void *x, const float *dt, const float *A, const void *B, const void *C, const float *D,
                         const uint8_t *reset, const float *fresh, float *kept, const void *d_y, const float *d_last,
                         void *d_x, float *d_dt, float *d_A, void *d_B, void *d_C, float *d_D, float *d_state,
                         float *d_fresh, float *d_B_heads, float *d_C_heads, int64_t batch, int64_t time, int64_t heads,
                         int64_t groups, int64_t width, int64_t size, int64_t kind, int64_t threads)
{
    job j = {.x = x, .dt = dt, .A = A, .B = B, .C = C, .D = D, .reset = reset, .fresh = fresh, .kept = kept,
             .d_y = d_y, .d_last = d_last, .d_x = d_x, .d_dt = d_dt, .d_A = d_A, .d_B = d_B, .d_C = d_C, .d_D = d_D,
             .d_state = d_state, .d_fresh = d_fresh, .d_B_heads = d_B_heads, .d_C_heads = d_C_heads, .batch = batch,
             .time = time, .heads = heads, .groups = groups, .width = width, .size = size, .kind = kind};
    int result = think_parallel(backward, &j, batch * heads, threads);
    return result ? result : think_parallel(add_heads, &j, batch, threads);
}
