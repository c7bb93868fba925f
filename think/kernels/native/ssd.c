/* Mamba-2's recurrence in chunks of 32 tokens, each a handful of small matrix products.
 *
 *     S_t = exp(dt_t A) S_{t-1} + dt_t x_t B_t^T          y_t = S_t C_t + D x_t
 *
 * Inside a chunk y = (L * C B^T)(dt x) + since (C S^T) + D x; ../ssd/README.md has the derivation. A task is a block of
 * heads of one row that share B and C, hence C B^T. The state stands transposed, [N, P], so that all products run along
 * the width of the head. Forward keeps the states at multiples of CHUNK; backward walks from the last chunk to the first
 * and never divides by a decay.
 *
 * B batch  T time  H heads  P head width  N state width  G groups; p, n: P and N padded to whole vectors
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
    float *d_dt, *d_A, *d_D, *d_state, *d_fresh, *d_B_blocks, *d_C_blocks;
    void *d_B, *d_C;
    int64_t batch, time, heads, groups, width, size, kind, block;
} job;

/* The chunk at hand: what the heads of a block share, and what belongs to one head. */
typedef struct {
    const job *j;
    const uint8_t *reset;
    int64_t row, first, group, p, n, grid; /* first: the first head of the block */
    int64_t begin, end, length;
    float *B, *C, *across;      /* [CHUNK, n], and B transposed [n, CHUNK] */
    float *x, *moved, *y, *sent; /* [CHUNK, p]: x, dt x, outputs, and dt x decayed to the end of the chunk */
    float *turned;              /* [P, n] */
    float dt[CHUNK], met[CHUNK][CHUNK], pairs[CHUNK][CHUNK];
    decays decay;
} chunk;

static void begin_task(chunk *c, const job *j, int64_t task)
{
    int64_t blocks = j->heads / j->block;
    c->j = j, c->row = task / blocks, c->first = task % blocks * j->block;
    c->group = c->first / (j->heads / j->groups);
    c->p = round_up(j->width, WIDTH), c->n = round_up(j->size, WIDTH), c->grid = (j->time + CHUNK - 1) / CHUNK;
    c->reset = j->reset ? j->reset + c->row * j->time : NULL;
}

static int64_t task_size(const chunk *c) { return CHUNK * (3 * c->n + 4 * c->p) + c->j->width * c->n; }

static float *carve(chunk *c, float *memory)
{
    c->B = memory, c->C = c->B + CHUNK * c->n, c->across = c->C + CHUNK * c->n;
    c->x = c->across + CHUNK * c->n, c->moved = c->x + CHUNK * c->p, c->y = c->moved + CHUNK * c->p;
    c->sent = c->y + CHUNK * c->p, c->turned = c->sent + CHUNK * c->p;
    memset(c->turned, 0, sizeof(float) * c->j->width * c->n);
    return c->turned + c->j->width * c->n;
}

/* Where things stand: token `begin` in [B, T, H] and [B, T, G], head h in [B, H]. */
INLINE int64_t token_of(const chunk *c, int64_t h) { return (c->row * c->j->time + c->begin) * c->j->heads + h; }
INLINE int64_t group_of(const chunk *c) { return (c->row * c->j->time + c->begin) * c->j->groups + c->group; }
INLINE int64_t head_of(const chunk *c, int64_t h) { return c->row * c->j->heads + h; }

INLINE float *kept_at(const chunk *c, int64_t h, int64_t begin)
{
    return c->j->kept + (head_of(c, h) * c->grid + begin / CHUNK) * c->j->size * c->j->width;
}

INLINE const float *fresh_of(const chunk *c, int64_t h)
{
    return c->j->fresh ? c->j->fresh + h * c->j->width * c->j->size : NULL;
}

/* B, C and C B^T, which is right up to the diagonal. */
static void read_shared(chunk *c)
{
    const job *j = c->j;
    int64_t at = group_of(c) * j->size, step = j->groups * j->size;
    read_rows(c->B, c->n, j->B, at, step, c->length, j->size, j->kind);
    read_rows(c->C, c->n, j->C, at, step, c->length, j->size, j->kind);
    if (c->length < CHUNK)
        memset(c->across, 0, sizeof(float) * c->n * CHUNK);
    transpose(c->length, c->n, c->B, c->n, c->across, CHUNK);
    multiply(c->length, CHUNK, j->size, c->C, c->n, 1, c->across, CHUNK, c->met[0], CHUNK, SET, OUT_LOWER);
}

static void read_head(chunk *c, int64_t h)
{
    const job *j = c->j;
    int64_t at = token_of(c, h);
    read_rows(c->x, c->p, j->x, at * j->width, j->heads * j->width, c->length, j->width, j->kind);
    for (int64_t t = 0; t < c->length; t++) {
        c->dt[t] = j->dt[at + t * j->heads];
        c->decay.log[t] = c->dt[t] * j->A[h];
    }
    fill_decays(&c->decay, c->length);
    times_between(c->pairs, c->met, &c->decay, c->length);
    const float *to_end = c->decay.between[c->length - 1];
    for (int64_t t = 0; t < c->length; t++) {
        scale(c->moved + t * c->p, c->x + t * c->p, c->dt[t], c->p);
        scale(c->sent + t * c->p, c->moved + t * c->p, to_end[t], c->p);
    }
}

static void forward_head(chunk *c, int64_t h, float *state)
{
    const job *j = c->j;
    int64_t p = c->p, n = c->n, length = c->length, at = token_of(c, h) * j->width, step = j->heads * j->width;
    if (c->reset && c->reset[c->begin]) {
        read_state(c->turned, n, fresh_of(c, h), j->width, j->size);
        transpose(j->width, j->size, c->turned, n, state, p);
    }
    if (j->kept && c->begin % CHUNK == 0)
        write_state(kept_at(c, h, c->begin), state, p, j->size, j->width);
    read_head(c, h);
    if (c->end < j->time)
        expect_rows(j->x, at + length * step, step, j->time - c->end < CHUNK ? j->time - c->end : CHUNK, j->width,
                    j->kind);
    const float *since = c->decay.since;
    combine(length, p, j->size, WHOLE,
             (product){.a = c->C, .a_row = n, .a_column = 1, .b = state, .b_stride = p, .c = c->y, .c_stride = p,
                       .factors = since});
    multiply(length, p, length, c->pairs[0], CHUNK, 1, c->moved, p, c->y, p, ADD, LEFT_LOWER);
    combine(j->size, p, length, WHOLE,
             (product){.a = c->B, .a_row = 1, .a_column = n, .b = c->sent, .b_stride = p, .c = state, .c_stride = p,
                       .keep = since[length - 1]});
    vec skip = all(j->D[h]);
    for (int64_t t = 0; t < length; t++) {
        float *y = c->y + t * p, *x = c->x + t * p;
        for (int64_t i = 0; i < p; i += WIDTH)
            store(y + i, load(y + i) + load(x + i) * skip);
        write_row(j->y, at + t * step, y, j->width, j->kind);
    }
}

static int forward(const void *given, int64_t task)
{
    chunk c;
    begin_task(&c, given, task);
    const job *j = c.j;
    int64_t each = c.n * c.p;
    float *memory = think_scratch(sizeof(float) * (task_size(&c) + j->block * each));
    if (!memory)
        return NO_MEMORY;
    float *states = carve(&c, memory);
    memset(states, 0, sizeof(float) * j->block * each);
    for (int64_t i = 0; i < j->block; i++)
        transpose(j->width, j->size, j->state + head_of(&c, c.first + i) * j->width * j->size, j->size, states + i * each,
                  c.p);
    for (c.begin = 0; c.begin < j->time; c.begin = c.end) {
        c.end = chunk_end(c.reset, c.begin, j->time);
        c.length = c.end - c.begin;
        read_shared(&c);
        for (int64_t i = 0; i < j->block; i++)
            forward_head(&c, c.first + i, states + i * each);
    }
    for (int64_t i = 0; i < j->block; i++)
        transpose(j->size, j->width, states + i * each, c.p, j->last + head_of(&c, c.first + i) * j->width * j->size,
                  j->size);
    return 0;
}

/* Sums over the heads of a block, and what one head needs. d_pairs belongs to pairs, d_met to met. */
typedef struct {
    float *d_B, *d_C;                            /* [CHUNK, n] */
    float *d_turned, *read, *d_x, *received, *across; /* [P, n], [CHUNK, n], [CHUNK, p] twice, dt x transposed [p, CHUNK] */
    float d_met[CHUNK][CHUNK], d_pairs[CHUNK][CHUNK], from_start[CHUNK], to_end[CHUNK], d_log[CHUNK];
} gradient;

/* Leaves in d_x the gradient of dt x, in d_log that of the log decays; c->y holds the gradient of y. d_state [N, p] is
 * the gradient of the state that leaves the chunk, and becomes that of the one that enters it. */
static void backward_head(chunk *c, gradient *d, float *d_state)
{
    const job *j = c->j;
    int64_t p = c->p, n = c->n, length = c->length;
    const float *since = c->decay.since, *end = c->decay.between[length - 1];
    transpose(j->size, j->width, d_state, p, d->d_turned, n);
    if (length < CHUNK)
        memset(d->across, 0, sizeof(float) * p * CHUNK);
    transpose(length, p, c->moved, p, d->across, CHUNK);

    multiply(length, CHUNK, j->width, c->y, p, 1, d->across, CHUNK, d->d_pairs[0], CHUNK, SET, OUT_LOWER);
    times_between(d->d_pairs, d->d_pairs, &c->decay, length);
    for (int64_t t = 0; t < length; t++) {
        scale(d->received + t * p, c->y + t * p, since[t], p);
        for (int64_t s = 0; s < CHUNK; s += WIDTH) {
            vec d_met = load(d->d_pairs[t] + s), decay = load(c->decay.between[t] + s);
            store(d->d_met[t] + s, load(d->d_met[t] + s) + d_met);
            store(d->d_pairs[t] + s, choose(decay != 0.0f, d_met * load(c->met[t] + s), (vec){0}));
        }
    }
    multiply(length, n, j->width, d->received, p, 1, c->turned, n, d->read, n, SET, WHOLE);
    multiply(length, n, j->width, c->sent, p, 1, d->d_turned, n, d->d_B, n, ADD, WHOLE);
    combine(length, p, j->size, WHOLE,
             (product){.a = c->B, .a_row = n, .a_column = 1, .b = d_state, .b_stride = p, .c = d->d_x, .c_stride = p,
                       .factors = end});
    for (int64_t t = 0; t < length; t++) {
        float *d_C = d->d_C + t * n, *read = d->read + t * n, *C = c->C + t * n;
        vec sum = {0};
        for (int64_t i = 0; i < n; i += WIDTH) {
            vec value = load(read + i);
            store(d_C + i, load(d_C + i) + value);
            sum += value * load(C + i);
        }
        d->from_start[t] = total(sum);
        d->to_end[t] = dot(d->d_x + t * p, c->moved + t * p, p);
    }
    multiply(length, p, length, c->pairs[0], 1, CHUNK, c->y, p, d->d_x, p, ADD, LEFT_UPPER);
    float carried = dot(d->d_turned, c->turned, j->width * n) * since[length - 1];
    decay_gradients(d->d_pairs, d->from_start, d->to_end, carried, length, d->d_log);
    combine(j->size, p, length, WHOLE,
             (product){.a = c->C, .a_row = 1, .a_column = n, .b = d->received, .b_stride = p, .c = d_state, .c_stride = p,
                       .keep = since[length - 1]});
}

/* Gradients of x, dt, A and D from those of dt x and the log decays. */
static void write_head(chunk *c, gradient *d, int64_t h)
{
    const job *j = c->j;
    int64_t p = c->p;
    float d_rate = 0.0f;
    vec skip = all(j->D[h]), d_skip = {0};
    for (int64_t t = 0; t < c->length; t++) {
        float *d_x = d->d_x + t * p, *d_y = c->y + t * p, *x = c->x + t * p;
        int64_t token = token_of(c, h) + t * j->heads;
        vec d_dt = {0};
        for (int64_t i = 0; i < p; i += WIDTH) {
            vec moved = load(d_x + i), direct = load(d_y + i), own = load(x + i);
            d_dt += moved * own;
            d_skip += direct * own;
            store(d_x + i, moved * c->dt[t] + direct * skip);
        }
        j->d_dt[token] = total(d_dt) + d->d_log[t] * j->A[h];
        d_rate += d->d_log[t] * c->dt[t];
        write_row(j->d_x, token * j->width, d_x, j->width, j->kind);
    }
    j->d_A[head_of(c, h)] += d_rate;
    j->d_D[head_of(c, h)] += total(d_skip);
}

/* The state that entered was `fresh`, for this document began here. */
static void end_document(chunk *c, int64_t h, float *d_state)
{
    const job *j = c->j;
    float *to = j->d_fresh ? j->d_fresh + head_of(c, h) * j->width * j->size : NULL;
    if (to) {
        transpose(j->size, j->width, d_state, c->p, c->turned, c->n);
        for (int64_t row = 0; row < j->width; row++)
            for (int64_t i = 0; i < j->size; i++)
                to[row * j->size + i] += c->turned[row * c->n + i];
    }
    memset(d_state, 0, sizeof(float) * c->n * c->p);
}

static void backward_chunk(chunk *c, gradient *d, float *d_states)
{
    const job *j = c->j;
    int64_t n = c->n, length = c->length, step = j->heads * j->width;
    int begins = c->reset && c->reset[c->begin], alone = j->block == j->heads / j->groups;
    memset(d->d_B, 0, sizeof(float) * CHUNK * n);
    memset(d->d_C, 0, sizeof(float) * CHUNK * n);
    memset(d->d_met, 0, sizeof d->d_met);
    read_shared(c);
    for (int64_t h = c->first; h < c->first + j->block; h++) {
        float *d_state = d_states + (h - c->first) * n * c->p;
        int64_t at = token_of(c, h) * j->width;
        if (begins)
            read_state(c->turned, n, fresh_of(c, h), j->width, j->size);
        else
            transpose(j->size, j->width, kept_at(c, h, c->begin), j->width, c->turned, n);
        read_rows(c->y, c->p, j->d_y, at, step, length, j->width, j->kind);
        read_head(c, h);
        if (c->begin >= CHUNK) {
            expect_rows(j->x, at - CHUNK * step, step, CHUNK, j->width, j->kind);
            expect_rows(j->d_y, at - CHUNK * step, step, CHUNK, j->width, j->kind);
            expect_rows(kept_at(c, h, c->begin - CHUNK), 0, j->width, j->size, j->width, FLOAT32);
        }
        backward_head(c, d, d_state);
        write_head(c, d, h);
        if (begins)
            end_document(c, h, d_state);
    }
    multiply(length, n, length, d->d_met[0], CHUNK, 1, c->B, n, d->d_C, n, ADD, LEFT_LOWER);
    multiply(length, n, length, d->d_met[0], 1, CHUNK, c->C, n, d->d_B, n, ADD, LEFT_UPPER);
    int64_t kind = alone ? j->kind : FLOAT32, lanes = alone ? j->groups : j->heads / j->block;
    int64_t at = ((c->row * j->time + c->begin) * lanes + c->first / j->block) * j->size;
    for (int64_t t = 0; t < length; t++, at += lanes * j->size) {
        write_row(alone ? j->d_B : j->d_B_blocks, at, d->d_B + t * n, j->size, kind);
        write_row(alone ? j->d_C : j->d_C_blocks, at, d->d_C + t * n, j->size, kind);
    }
}

static int backward(const void *given, int64_t task)
{
    chunk c;
    gradient d;
    begin_task(&c, given, task);
    const job *j = c.j;
    int64_t p = c.p, n = c.n, states = j->width * j->size;
    float *memory = think_scratch(sizeof(float) * (task_size(&c) + CHUNK * (3 * n + 3 * p) + j->width * n + j->block * n * p));
    if (!memory)
        return NO_MEMORY;
    d.d_B = carve(&c, memory), d.d_C = d.d_B + CHUNK * n, d.read = d.d_C + CHUNK * n, d.d_x = d.read + CHUNK * n;
    d.received = d.d_x + CHUNK * p, d.across = d.received + CHUNK * p, d.d_turned = d.across + CHUNK * p;
    float *d_states = d.d_turned + j->width * n;
    memset(d.d_turned, 0, sizeof(float) * (j->width * n + j->block * n * p));
    for (int64_t i = 0; i < j->block; i++) {
        int64_t head = head_of(&c, c.first + i);
        transpose(j->width, j->size, j->d_last + head * states, j->size, d_states + i * n * p, p);
        j->d_A[head] = j->d_D[head] = 0.0f;
        if (j->d_fresh)
            memset(j->d_fresh + head * states, 0, sizeof(float) * states);
    }
    for (c.end = j->time; c.end > 0; c.end = c.begin) {
        c.begin = chunk_begin(c.reset, c.end);
        c.length = c.end - c.begin;
        backward_chunk(&c, &d, d_states);
    }
    for (int64_t i = 0; i < j->block; i++)
        transpose(j->size, j->width, d_states + i * n * p, p, j->d_state + head_of(&c, c.first + i) * states, j->size);
    return 0;
}

/* The gradients of B and C in one row of the batch: sums over the blocks of each group, in their order. */
static int add_blocks(const void *given, int64_t task)
{
    const job *j = given;
    int64_t shared = j->heads / j->block / j->groups, count = j->time * j->groups;
    float *sum = think_scratch(sizeof(float) * j->size);
    if (!sum)
        return NO_MEMORY;
    for (int64_t i = task * count; i < (task + 1) * count; i++)
        for (int which = 0; which < 2; which++) {
            const float *from = (which ? j->d_C_blocks : j->d_B_blocks) + i * shared * j->size;
            memcpy(sum, from, sizeof(float) * j->size);
            for (int64_t s = 1; s < shared; s++)
                for (int64_t k = 0; k < j->size; k++)
                    sum[k] += from[s * j->size + k];
            write_row(which ? j->d_C : j->d_B, i * j->size, sum, j->size, j->kind);
        }
    return 0;
}

/* kept: NULL when no gradient will be asked for, else [B, H, ceil(T / CHUNK), N, P]; x, B, C, y are of `kind`; block:
 * heads in a task, a divisor of H / G. Outputs do not depend on it. */
KERNEL(ssd_forward)(const void *x, const float *dt, const float *A, const void *B, const void *C, const float *D,
                    const float *state, const uint8_t *reset, const float *fresh, void *y, float *last, float *kept,
                    int64_t batch, int64_t time, int64_t heads, int64_t groups, int64_t width, int64_t size,
                    int64_t kind, int64_t block, int64_t threads)
{
    job j = {.x = x, .dt = dt, .A = A, .B = B, .C = C, .D = D, .state = state, .reset = reset, .fresh = fresh,
             .y = y, .last = last, .kept = kept, .batch = batch, .time = time, .heads = heads, .groups = groups,
             .width = width, .size = size, .kind = kind, .block = block};
    return think_parallel(forward, &j, batch * heads / block, threads);
}

/* d_A, d_D [B, H] and d_fresh [B, H, P, N] are for the caller to sum over rows; d_x, d_B, d_C are of `kind`. d_B_blocks,
 * d_C_blocks [B, T, H / block, N] are scratch, not used when a block is a whole group. */
KERNEL(ssd_backward)(const void *x, const float *dt, const float *A, const void *B, const void *C, const float *D,
                     const uint8_t *reset, const float *fresh, float *kept, const void *d_y, const float *d_last,
                     void *d_x, float *d_dt, float *d_A, void *d_B, void *d_C, float *d_D, float *d_state,
                     float *d_fresh, float *d_B_blocks, float *d_C_blocks, int64_t batch, int64_t time, int64_t heads,
                     int64_t groups, int64_t width, int64_t size, int64_t kind, int64_t block, int64_t threads)
{
    job j = {.x = x, .dt = dt, .A = A, .B = B, .C = C, .D = D, .reset = reset, .fresh = fresh, .kept = kept,
             .d_y = d_y, .d_last = d_last, .d_x = d_x, .d_dt = d_dt, .d_A = d_A, .d_B = d_B, .d_C = d_C, .d_D = d_D,
             .d_state = d_state, .d_fresh = d_fresh, .d_B_blocks = d_B_blocks, .d_C_blocks = d_C_blocks, .batch = batch,
             .time = time, .heads = heads, .groups = groups, .width = width, .size = size, .kind = kind, .block = block};
    int result = think_parallel(backward, &j, batch * heads / block, threads);
    if (result || block == heads / groups)
        return result;
    return think_parallel(add_blocks, &j, batch, threads);
}
