/* The gated delta rule in chunks of 32 tokens, each a handful of small matrix products and one triangular solve.
 *
 *     S' = a_t S_{t-1}     S_t = S' + beta_t k_t (v_t - S'^T k_t)^T     out_t = S_t^T q_t     a_t = exp(log_decay_t)
 *
 * What token t writes, u_t = beta_t (v_t - S'^T k_t), solves (I + A) U = beta (V - since K S) in each chunk, with
 * A = beta (L * K K^T) below the diagonal; ../delta_rule/README.md has the derivation. A task is one head of one row.
 * Forward keeps U, and the states at multiples of CHUNK; backward walks from the last chunk to the first.
 *
 * B batch  T time  H heads  K key width  V value width; deep, wide: K and V padded to whole vectors
 */
#include "chunk.h"

typedef struct {
    const void *q, *k, *v;
    const float *beta, *log_decay, *state;
    const uint8_t *reset;
    const float *fresh;
    void *out;
    float *last, *kept, *written;
    /* of the gradient */
    const void *d_out;
    const float *d_last;
    void *d_q, *d_k, *d_v;
    float *d_beta, *d_log_decay, *d_state, *d_fresh;
    int64_t batch, time, heads, key, value, kind;
} job;

/* The chunk at hand, of one head. */
typedef struct {
    const job *j;
    const uint8_t *reset;
    const float *fresh;
    int64_t task, row, head, deep, wide, grid, begin, end, length;
    float *q, *k, *sent, *across; /* [CHUNK, deep], the third k decayed to the end; k transposed [deep, CHUNK] */
    float *v, *u, *out;           /* [CHUNK, wide] */
    float *state;                 /* [K, wide] */
    float beta[CHUNK], minus[CHUNK];
    float with_q[CHUNK][CHUNK], with_k[CHUNK][CHUNK], read[CHUNK][CHUNK], held[CHUNK][CHUNK];
    decays decay;
} chunk;

static void begin_task(chunk *c, const job *j, int64_t task)
{
    c->j = j, c->task = task, c->row = task / j->heads, c->head = task % j->heads;
    c->deep = round_up(j->key, WIDTH), c->wide = round_up(j->value, WIDTH), c->grid = (j->time + CHUNK - 1) / CHUNK;
    c->reset = j->reset ? j->reset + c->row * j->time : NULL;
    c->fresh = j->fresh ? j->fresh + c->head * j->key * j->value : NULL;
    for (int64_t i = 0; i < CHUNK; i++)
        c->minus[i] = -1.0f;
}

static int64_t task_size(const chunk *c)
{
    return CHUNK * (4 * c->deep + 3 * c->wide) + c->j->key * c->wide;
}

static float *carve(chunk *c, float *memory)
{
    c->q = memory, c->k = c->q + CHUNK * c->deep, c->sent = c->k + CHUNK * c->deep, c->across = c->sent + CHUNK * c->deep;
    c->v = c->across + CHUNK * c->deep, c->u = c->v + CHUNK * c->wide, c->out = c->u + CHUNK * c->wide;
    c->state = c->out + CHUNK * c->wide;
    return c->state + c->j->key * c->wide;
}

/* Token `begin` in [B, T, H]; numbers from one token to the next are `heads` times as many as a token has. */
INLINE int64_t token_of(const chunk *c, int64_t begin) { return (c->row * c->j->time + begin) * c->j->heads + c->head; }

INLINE float *kept_at(const chunk *c, int64_t begin)
{
    return c->j->kept + (c->task * c->grid + begin / CHUNK) * c->j->key * c->j->value;
}

INLINE void read_tokens(const chunk *c, float *to, const void *from, int64_t count, int64_t stride, int64_t kind)
{
    read_rows(to, stride, from, token_of(c, c->begin) * count, c->j->heads * count, c->length, count, kind);
}

INLINE void write_tokens(const chunk *c, void *to, const float *from, int64_t count, int64_t stride, int64_t kind)
{
    int64_t at = token_of(c, c->begin) * count;
    for (int64_t t = 0; t < c->length; t++)
        write_row(to, at + t * c->j->heads * count, from + t * stride, count, kind);
}

/* Asks for the tokens of a chunk that is to come. */
INLINE void expect_tokens(const chunk *c, int64_t begin, const void *from, int64_t count, int64_t kind)
{
    int64_t length = c->j->time - begin < CHUNK ? c->j->time - begin : CHUNK;
    expect_rows(from, token_of(c, begin) * count, c->j->heads * count, length, count, kind);
}

/* Reads q, k, v and the decays; meets all pairs: with_q = q k^T and with_k = k k^T are right up to the diagonal,
 * read = L * with_q, held = beta (L * with_k), zero from the diagonal on. */
static void read_chunk(chunk *c)
{
    const job *j = c->j;
    int64_t at = token_of(c, c->begin), deep = c->deep, length = c->length;
    read_tokens(c, c->q, j->q, j->key, deep, j->kind);
    read_tokens(c, c->k, j->k, j->key, deep, j->kind);
    read_tokens(c, c->v, j->v, j->value, c->wide, j->kind);
    for (int64_t t = 0; t < length; t++) {
        c->beta[t] = j->beta[at + t * j->heads];
        c->decay.log[t] = j->log_decay[at + t * j->heads];
    }
    fill_decays(&c->decay, length);
    if (length < CHUNK)
        memset(c->across, 0, sizeof(float) * deep * CHUNK);
    transpose(length, deep, c->k, deep, c->across, CHUNK);
    multiply(length, CHUNK, j->key, c->q, deep, 1, c->across, CHUNK, c->with_q[0], CHUNK, SET, OUT_LOWER);
    multiply(length, CHUNK, j->key, c->k, deep, 1, c->across, CHUNK, c->with_k[0], CHUNK, SET, OUT_LOWER);
    times_between(c->read, c->with_q, &c->decay, length);
    times_between(c->held, c->with_k, &c->decay, length);
    for (int64_t t = 0; t < length; t++) {
        scale(c->held[t], c->held[t], c->beta[t], CHUNK);
        c->held[t][t] = 0.0f;
        scale(c->sent + t * deep, c->k + t * deep, c->decay.between[length - 1][t], deep);
    }
}

/* rows[t] -= held[t][s] rows[s], for one pair. */
INLINE void subtract(float *rows, int64_t t, int64_t s, float factor, int64_t wide)
{
    for (int64_t i = 0; i < wide; i += WIDTH)
        store(rows + t * wide + i, load(rows + t * wide + i) - load(rows + s * wide + i) * factor);
}

/* rows = (I + held)^{-1} rows, from the first row down; a tile of rows at a time. */
static void solve(chunk *c, float *rows)
{
    for (int64_t m = 0; m < c->length; m += TILE) {
        int64_t end = m + TILE < c->length ? m + TILE : c->length;
        if (m)
            combine(end - m, c->wide, m, WHOLE,
                    (product){.a = c->held[m], .a_row = CHUNK, .a_column = 1, .b = rows, .b_stride = c->wide,
                              .c = rows + m * c->wide, .c_stride = c->wide, .keep = 1.0f, .factors = c->minus});
        for (int64_t t = m + 1; t < end; t++)
            for (int64_t s = m; s < t; s++)
                subtract(rows, t, s, c->held[t][s], c->wide);
    }
}

/* rows = (I + held)^{-T} rows, from the last row up. */
static void solve_transposed(chunk *c, float *rows)
{
    for (int64_t m = (c->length - 1) / TILE * TILE; m >= 0; m -= TILE) {
        int64_t end = m + TILE < c->length ? m + TILE : c->length;
        if (end < c->length)
            combine(end - m, c->wide, c->length - end, WHOLE,
                    (product){.a = c->held[end] + m, .a_row = 1, .a_column = CHUNK, .b = rows + end * c->wide,
                              .b_stride = c->wide, .c = rows + m * c->wide, .c_stride = c->wide, .keep = 1.0f,
                              .factors = c->minus});
        for (int64_t s = end - 2; s >= m; s--)
            for (int64_t t = s + 1; t < end; t++)
                subtract(rows, s, t, c->held[t][s], c->wide);
    }
}

static void forward_chunk(chunk *c)
{
    const job *j = c->j;
    int64_t deep = c->deep, wide = c->wide, length = c->length;
    const float *since = c->decay.since;
    read_chunk(c);
    if (c->end < j->time) {
        expect_tokens(c, c->end, j->q, j->key, j->kind);
        expect_tokens(c, c->end, j->k, j->key, j->kind);
        expect_tokens(c, c->end, j->v, j->value, j->kind);
    }
    combine(length, wide, j->key, WHOLE,
            (product){.a = c->k, .a_row = deep, .a_column = 1, .b = c->state, .b_stride = wide, .c = c->u,
                      .c_stride = wide, .factors = since});
    for (int64_t t = 0; t < length; t++)
        for (int64_t i = t * wide; i < (t + 1) * wide; i += WIDTH)
            store(c->u + i, (load(c->v + i) - load(c->u + i)) * c->beta[t]);
    solve(c, c->u);
    combine(length, wide, j->key, WHOLE,
            (product){.a = c->q, .a_row = deep, .a_column = 1, .b = c->state, .b_stride = wide, .c = c->out,
                      .c_stride = wide, .factors = since});
    multiply(length, wide, length, c->read[0], CHUNK, 1, c->u, wide, c->out, wide, ADD, LEFT_LOWER);
    combine(j->key, wide, length, WHOLE,
            (product){.a = c->sent, .a_row = 1, .a_column = deep, .b = c->u, .b_stride = wide, .c = c->state,
                      .c_stride = wide, .keep = since[length - 1]});
    write_tokens(c, j->out, c->out, j->value, wide, j->kind);
    if (j->written)
        write_tokens(c, j->written, c->u, j->value, wide, FLOAT32);
}

static int forward(const void *given, int64_t task)
{
    chunk c;
    begin_task(&c, given, task);
    const job *j = c.j;
    int64_t states = j->key * j->value;
    float *memory = think_scratch(sizeof(float) * task_size(&c));
    if (!memory)
        return NO_MEMORY;
    carve(&c, memory);
    read_state(c.state, c.wide, j->state + task * states, j->key, j->value);
    for (c.begin = 0; c.begin < j->time; c.begin = c.end) {
        c.end = chunk_end(c.reset, c.begin, j->time);
        c.length = c.end - c.begin;
        if (c.reset && c.reset[c.begin])
            read_state(c.state, c.wide, c.fresh, j->key, j->value);
        if (j->kept && c.begin % CHUNK == 0)
            write_state(kept_at(&c, c.begin), c.state, c.wide, j->key, j->value);
        forward_chunk(&c);
    }
    write_state(j->last + task * states, c.state, c.wide, j->key, j->value);
    return 0;
}

typedef struct {
    float *d_state;                     /* [K, wide], of the state that leaves the chunk, then of the one that enters */
    float *turned, *d_turned;           /* both states transposed, [V, deep] */
    float *u_across;                    /* u transposed, [wide, CHUNK] */
    float *d_out, *d_u, *decayed;       /* [CHUNK, wide] */
    float *d_q, *d_k, *seen;            /* [CHUNK, deep] */
    float d_read[CHUNK][CHUNK], d_held[CHUNK][CHUNK];
    float from_start[CHUNK], to_end[CHUNK], d_beta[CHUNK], d_log[CHUNK];
} gradient;

/* Of pairs: d_read and d_held become the gradients of with_q and with_k, `read` what is owed to the log decays. */
static void backward_pairs(chunk *c, gradient *d)
{
    for (int64_t t = 0; t < c->length; t++) {
        vec held = {0};
        d->d_held[t][t] = 0.0f;
        for (int64_t s = 0; s < CHUNK; s += WIDTH) {
            ivec below = load(c->decay.between[t] + s) != 0.0f; /* beyond, anything may stand */
            vec decay = load(c->decay.between[t] + s), none = {0};
            vec d_q = choose(below, load(d->d_read[t] + s) * decay, none);
            vec d_k = choose(below, -load(d->d_held[t] + s) * decay, none);
            vec spent_q = choose(below, d_q * load(c->with_q[t] + s), none);
            vec spent_k = choose(below, d_k * load(c->with_k[t] + s), none);
            held += spent_k;
            store(c->read[t] + s, spent_q + spent_k * c->beta[t]);
            store(d->d_read[t] + s, d_q);
            store(d->d_held[t] + s, d_k * c->beta[t]);
        }
        d->d_beta[t] = total(held);
    }
}

static void backward_chunk(chunk *c, gradient *d)
{
    const job *j = c->j;
    int64_t deep = c->deep, wide = c->wide, length = c->length;
    const float *since = c->decay.since, *end = c->decay.between[length - 1];
    read_chunk(c);
    read_tokens(c, d->d_out, j->d_out, j->value, wide, j->kind);
    read_tokens(c, c->u, j->written, j->value, wide, FLOAT32);
    if (c->begin >= CHUNK) {
        expect_tokens(c, c->begin - CHUNK, j->q, j->key, j->kind);
        expect_tokens(c, c->begin - CHUNK, j->k, j->key, j->kind);
        expect_tokens(c, c->begin - CHUNK, j->v, j->value, j->kind);
        expect_tokens(c, c->begin - CHUNK, j->d_out, j->value, j->kind);
        expect_tokens(c, c->begin - CHUNK, j->written, j->value, FLOAT32);
        expect_rows(kept_at(c, c->begin - CHUNK), 0, j->value, j->key, j->value, FLOAT32);
    }
    transpose(j->key, j->value, c->state, wide, d->turned, deep);
    transpose(j->key, j->value, d->d_state, wide, d->d_turned, deep);
    if (length < CHUNK)
        memset(d->u_across, 0, sizeof(float) * wide * CHUNK);
    transpose(length, wide, c->u, wide, d->u_across, CHUNK);

    /* u reaches the outputs of its chunk and the state that leaves; it solved (I + held) u = beta (v - since k S) */
    multiply(length, wide, length, c->read[0], 1, CHUNK, d->d_out, wide, d->d_u, wide, SET, LEFT_UPPER);
    multiply(length, wide, j->key, c->sent, deep, 1, d->d_state, wide, d->d_u, wide, ADD, WHOLE);
    solve_transposed(c, d->d_u);
    multiply(length, CHUNK, j->value, d->d_out, wide, 1, d->u_across, CHUNK, d->d_read[0], CHUNK, SET, OUT_LOWER);
    multiply(length, CHUNK, j->value, d->d_u, wide, 1, d->u_across, CHUNK, d->d_held[0], CHUNK, SET, OUT_LOWER);
    backward_pairs(c, d);

    /* what is read of the state that enters, and what reaches the one that leaves */
    for (int64_t t = 0; t < length; t++)
        scale(d->decayed + t * wide, d->d_out + t * wide, since[t], wide);
    multiply(length, deep, j->value, d->decayed, wide, 1, d->turned, deep, d->d_q, deep, SET, WHOLE);
    combine(j->key, wide, length, WHOLE,
            (product){.a = c->q, .a_row = 1, .a_column = deep, .b = d->decayed, .b_stride = wide, .c = d->d_state,
                      .c_stride = wide, .keep = since[length - 1]});
    for (int64_t t = 0; t < length; t++)
        scale(d->decayed + t * wide, d->d_u + t * wide, since[t], wide);
    multiply(length, deep, j->value, d->decayed, wide, 1, d->turned, deep, d->seen, deep, SET, WHOLE);
    combine(length, deep, j->value, WHOLE,
            (product){.a = c->u, .a_row = wide, .a_column = 1, .b = d->d_turned, .b_stride = deep, .c = d->d_k,
                      .c_stride = deep, .factors = end});
    for (int64_t t = 0; t < length; t++) {
        float *d_k = d->d_k + t * deep, *seen = d->seen + t * deep, *k = c->k + t * deep, beta = c->beta[t];
        float held = dot(seen, k, deep);
        d->to_end[t] = dot(d_k, k, deep);
        d->from_start[t] = dot(d->d_q + t * deep, c->q + t * deep, deep) - beta * held;
        d->d_beta[t] += dot(d->d_u + t * wide, c->v + t * wide, wide) - held;
        for (int64_t i = 0; i < deep; i += WIDTH)
            store(d_k + i, load(d_k + i) - load(seen + i) * beta);
        scale(d->decayed + t * wide, d->decayed + t * wide, -beta, wide);
        scale(d->d_u + t * wide, d->d_u + t * wide, beta, wide);
    }
    multiply(j->key, wide, length, c->k, 1, deep, d->decayed, wide, d->d_state, wide, ADD, WHOLE);

    multiply(length, deep, length, d->d_read[0], CHUNK, 1, c->k, deep, d->d_q, deep, ADD, LEFT_LOWER);
    multiply(length, deep, length, d->d_read[0], 1, CHUNK, c->q, deep, d->d_k, deep, ADD, LEFT_UPPER);
    multiply(length, deep, length, d->d_held[0], CHUNK, 1, c->k, deep, d->d_k, deep, ADD, LEFT_LOWER);
    multiply(length, deep, length, d->d_held[0], 1, CHUNK, c->k, deep, d->d_k, deep, ADD, LEFT_UPPER);
    float carried = dot(d->d_turned, d->turned, j->value * deep) * since[length - 1];
    decay_gradients(c->read, d->from_start, d->to_end, carried, length, d->d_log);
}

static void write_gradients(chunk *c, gradient *d)
{
    const job *j = c->j;
    int64_t at = token_of(c, c->begin);
    write_tokens(c, j->d_q, d->d_q, j->key, c->deep, j->kind);
    write_tokens(c, j->d_k, d->d_k, j->key, c->deep, j->kind);
    write_tokens(c, j->d_v, d->d_u, j->value, c->wide, j->kind);
    for (int64_t t = 0; t < c->length; t++) {
        j->d_beta[at + t * j->heads] = d->d_beta[t];
        j->d_log_decay[at + t * j->heads] = d->d_log[t];
    }
}

static int backward(const void *given, int64_t task)
{
    chunk c;
    gradient d;
    begin_task(&c, given, task);
    const job *j = c.j;
    int64_t deep = c.deep, wide = c.wide, states = j->key * j->value;
    int64_t size = j->key * wide + 2 * j->value * deep + CHUNK * (4 * wide + 3 * deep);
    float *memory = think_scratch(sizeof(float) * (task_size(&c) + size));
    if (!memory)
        return NO_MEMORY;
    d.d_state = carve(&c, memory), d.turned = d.d_state + j->key * wide, d.d_turned = d.turned + j->value * deep;
    d.u_across = d.d_turned + j->value * deep, d.d_out = d.u_across + CHUNK * wide, d.d_u = d.d_out + CHUNK * wide;
    d.decayed = d.d_u + CHUNK * wide, d.d_q = d.decayed + CHUNK * wide, d.d_k = d.d_q + CHUNK * deep;
    d.seen = d.d_k + CHUNK * deep;
    memset(d.turned, 0, sizeof(float) * 2 * j->value * deep);
    float *d_fresh = j->d_fresh ? j->d_fresh + task * states : NULL;
    if (d_fresh)
        memset(d_fresh, 0, sizeof(float) * states);
    read_state(d.d_state, wide, j->d_last + task * states, j->key, j->value);
    for (c.end = j->time; c.end > 0; c.end = c.begin) {
        c.begin = chunk_begin(c.reset, c.end);
        c.length = c.end - c.begin;
        int begins = c.reset && c.reset[c.begin];
        read_state(c.state, wide, begins ? c.fresh : kept_at(&c, c.begin), j->key, j->value);
        backward_chunk(&c, &d);
        write_gradients(&c, &d);
        if (!begins)
            continue;
        for (int64_t row = 0; d_fresh && row < j->key; row++)
            for (int64_t i = 0; i < j->value; i++)
                d_fresh[row * j->value + i] += d.d_state[row * wide + i];
        memset(d.d_state, 0, sizeof(float) * j->key * wide);
    }
    write_state(j->d_state + task * states, d.d_state, wide, j->key, j->value);
    return 0;
}

/* kept [B, H, ceil(T / CHUNK), K, V] and written [B, T, H, V]: NULL when no gradient will be asked for; q, k, v and out
 * are of `kind`. */
KERNEL(delta_rule_forward)(const void *q, const void *k, const void *v, const float *beta, const float *log_decay,
                           const float *state, const uint8_t *reset, const float *fresh, void *out, float *last,
                           float *kept, float *written, int64_t batch, int64_t time, int64_t heads, int64_t key,
                           int64_t value, int64_t kind, int64_t threads)
{
    job j = {.q = q, .k = k, .v = v, .beta = beta, .log_decay = log_decay, .state = state, .reset = reset,
             .fresh = fresh, .out = out, .last = last, .kept = kept, .written = written, .batch = batch, .time = time,
             .heads = heads, .key = key, .value = value, .kind = kind};
    return think_parallel(forward, &j, batch * heads, threads);
}

/* d_fresh [B, H, K, V] is for the caller to sum over rows, NULL when nobody asks; d_q, d_k, d_v are of `kind`. */
KERNEL(delta_rule_backward)(const void *q, const void *k, const void *v, const float *beta, const float *log_decay,
                            const uint8_t *reset, const float *fresh, float *kept, float *written, const void *d_out,
                            const float *d_last, void *d_q, void *d_k, void *d_v, float *d_beta, float *d_log_decay,
                            float *d_state, float *d_fresh, int64_t batch, int64_t time, int64_t heads, int64_t key,
                            int64_t value, int64_t kind, int64_t threads)
{
    job j = {.q = q, .k = k, .v = v, .beta = beta, .log_decay = log_decay, .reset = reset, .fresh = fresh,
             .kept = kept, .written = written, .d_out = d_out, .d_last = d_last, .d_q = d_q, .d_k = d_k, .d_v = d_v,
             .d_beta = d_beta, .d_log_decay = d_log_decay, .d_state = d_state, .d_fresh = d_fresh, .batch = batch,
             .time = time, .heads = heads, .key = key, .value = value, .kind = kind};
    return think_parallel(backward, &j, batch * heads, threads);
}
