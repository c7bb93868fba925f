/* RWKV-6 in chunks of 16 tokens, each a handful of small matrix products; exact for any decay. ../rwkv6/README.md
 *
 *     out_t = r_t . (S_{t-1} + diag(bonus) k_t v_t^T)          S_t = diag(w_t) S_{t-1} + k_t v_t^T          w = exp(log_decay)
 *
 * A task is one head of one row. Inside a chunk each pair (t, s) has a score of its own, sum over channels of r_t k_s and
 * the decays between, which are multiplied up token by token: every factor lies in [0, 1], nothing is ever divided.
 * With R = r decayed from the chunk's start, K = k decayed to its end, and D the decay of the whole chunk,
 *
 *     out = R S + scores v          S' = diag(D) S + K^T v
 *
 * Forward keeps the state at every SEGMENT tokens; backward walks from the last segment to the first, runs through a
 * segment once to have the states of its chunks, and then through its chunks from the last to the first.
 *
 * B batch  T time  H heads  K key width  V value width; wide, deep: V and K padded to whole vectors
 */
#include "matrix.h"

enum { CHUNK = 16, SEGMENT = 64, CHUNKS = SEGMENT };

typedef struct {
    const void *r, *k, *v, *log_decay; /* [B, T, H, ..] */
    const float *bonus, *state;        /* [H, K], [B, H, K, V] */
    const uint8_t *reset;              /* [B, T] or NULL */
    const float *fresh;                /* [H, K, V] or NULL for zeros */
    void *out;
    float *last, *kept;                /* kept [B, H, (T-1) / SEGMENT, K, V] or NULL: the state at multiples of SEGMENT */
    /* of the gradient */
    const void *d_out;
    const float *d_last;
    void *d_r, *d_k, *d_v, *d_log_decay;
    float *d_state, *parts; /* parts [B, H, K + K V]: gradients of bonus and fresh of each row */
    int64_t batch, time, heads, key, value, kind_r, kind_k, kind_v, kind_decay;
} job;

/* What a task works on. */
typedef struct {
    int64_t task, b, h, deep, wide, kept;
    const uint8_t *reset;
    const float *fresh;
} place;

static place place_of(const job *j, int64_t task)
{
    int64_t b = task / j->heads, h = task % j->heads;
    return (place){
        .task = task,
        .b = b,
        .h = h,
        .deep = round_up(j->key, WIDTH),
        .wide = round_up(j->value, WIDTH),
        .kept = (j->time - 1) / SEGMENT,
        .reset = j->reset ? j->reset + b * j->time : NULL,
        .fresh = j->fresh ? j->fresh + h * j->key * j->value : NULL,
    };
}

/* Where token t of the task's head begins in a tensor [B, T, H, size]. */
INLINE int64_t token(const job *j, const place *at, int64_t t, int64_t size)
{
    return ((at->b * j->time + t) * j->heads + at->h) * size;
}

/* A chunk ends at the next multiple of CHUNK, or where a document begins. */
INLINE int64_t chunk_end(const job *j, const place *at, int64_t begin)
{
    int64_t end = begin / CHUNK * CHUNK + CHUNK;
    end = end < j->time ? end : j->time;
    for (int64_t t = begin + 1; at->reset && t < end; t++)
        if (at->reset[t])
            return t;
    return end;
}

/* A chunk: tokens begin .. begin+length-1. The rows after them are zero, with a decay of 1. */
typedef struct {
    int64_t begin, length;
    float *r, *k, *decay, *receive, *send, *whole; /* [CHUNK, deep] five times, [deep] */
    float *v, *scores;                             /* [CHUNK, wide], [CHUNK, CHUNK] */
} chunk;

INLINE int64_t chunk_floats(const place *at) { return (5 * CHUNK + 1) * at->deep + CHUNK * (at->wide + CHUNK); }

static void carve(chunk *c, const place *at, float *memory)
{
    float **rows[] = {&c->r, &c->k, &c->decay, &c->receive, &c->send};
    for (int i = 0; i < 5; i++, memory += CHUNK * at->deep)
        *rows[i] = memory;
    c->whole = memory, memory += at->deep;
    c->v = memory, memory += CHUNK * at->wide;
    c->scores = memory;
}

static void read_chunk_rows(float *to, int64_t stride, const void *from, int64_t first, int64_t step, int64_t length,
                            int64_t count, int64_t kind)
{
    read_rows(to, stride, from, first, step, length, count, kind);
    memset(to + length * stride, 0, sizeof(float) * (CHUNK - length) * stride);
}

INLINE int64_t bytes(int64_t kind) { return kind == BFLOAT16 ? 2 : 4; }

/* Ask for one token's numbers, which will be wanted soon: rows of one head are too far apart for the processor to see
 * them coming. These are inlined, for the compiler drops calls of functions that only ask. */
INLINE void expect(const void *tensor, int64_t first, int64_t count, int64_t kind)
{
    const char *from = (const char *)tensor + first * bytes(kind);
    for (int64_t i = 0; i < count * bytes(kind); i += 64)
        __builtin_prefetch(from + i);
}

INLINE void expect_token(const job *j, const place *at, int64_t t)
{
    if (t < 0 || t >= j->time)
        return;
    int64_t first = token(j, at, t, j->key);
    expect(j->r, first, j->key, j->kind_r);
    expect(j->k, first, j->key, j->kind_k);
    expect(j->log_decay, first, j->key, j->kind_decay);
    expect(j->v, token(j, at, t, j->value), j->value, j->kind_v);
}

/* Read a chunk and meet its pairs: fills all of it. */
static void fill(const job *j, const place *at, const float *bonus, chunk *c)
{
    int64_t deep = at->deep, wide = at->wide, n = c->length;
    int64_t first = token(j, at, c->begin, j->key), step = j->heads * j->key;
    read_chunk_rows(c->r, deep, j->r, first, step, n, j->key, j->kind_r);
    read_chunk_rows(c->k, deep, j->k, first, step, n, j->key, j->kind_k);
    read_chunk_rows(c->decay, deep, j->log_decay, first, step, n, j->key, j->kind_decay);
    read_chunk_rows(c->v, wide, j->v, token(j, at, c->begin, j->value), j->heads * j->value, n, j->value, j->kind_v);
    for (int64_t i = 0; i < CHUNK * deep; i += WIDTH)
        store(c->decay + i, vexp(load(c->decay + i)));
    for (int64_t i = 0; i < deep; i += WIDTH) {
        vec product = all(1.0f);
        for (int64_t t = 0; t < CHUNK; t++) {
            store(c->receive + t * deep + i, load(c->r + t * deep + i) * product);
            product *= load(c->decay + t * deep + i);
        }
        store(c->whole + i, product);
    }
    memcpy(c->send, c->k, sizeof(float) * CHUNK * deep);
    memset(c->scores, 0, sizeof(float) * CHUNK * CHUNK);
    for (int64_t t = 0; t < n; t++) {
        const float *r = c->r + t * deep, *decay = c->decay + t * deep, *own = c->k + t * deep;
        for (int64_t s = 0; s < t; s++) {
            float *send = c->send + s * deep;
            vec sum = {0};
            for (int64_t i = 0; i < deep; i += WIDTH) {
                vec sent = load(send + i);
                sum += load(r + i) * sent;
                store(send + i, sent * load(decay + i));
            }
            c->scores[t * CHUNK + s] = total(sum);
        }
        vec sum = {0};
        for (int64_t i = 0; i < deep; i += WIDTH)
            sum += load(r + i) * load(own + i) * load(bonus + i);
        c->scores[t * CHUNK + t] = total(sum);
    }
}

/* rows x vectors of: to = diag(decay) from + a^T b over CHUNK tokens. When `met` is given, met[row] gets the sum of
 * from[row] * with[row] too, lane by lane. */
INLINE void carry_tile(const int vectors, float *to, const float *from, const float *with, float *met, int64_t wide,
                       const float *decay, const float *a, int64_t a_stride, const float *b)
{
    vec sum[4][2];
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) {
        vec own = {0};
#pragma GCC unroll 2
        for (int j = 0; j < vectors; j++) {
            vec before = load(from + i * wide + j * WIDTH);
            if (met)
                own += before * load(with + i * wide + j * WIDTH);
            sum[i][j] = before * decay[i];
        }
        if (met)
            store(met + i * WIDTH, load(met + i * WIDTH) + own);
    }
    for (int64_t t = 0; t < CHUNK; t++) {
        vec right[2];
#pragma GCC unroll 2
        for (int j = 0; j < vectors; j++)
            right[j] = load(b + t * wide + j * WIDTH);
#pragma GCC unroll 4
        for (int i = 0; i < 4; i++) {
            vec left = all(a[t * a_stride + i]);
#pragma GCC unroll 2
            for (int j = 0; j < vectors; j++)
                sum[i][j] += left * right[j];
        }
    }
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++)
#pragma GCC unroll 2
        for (int j = 0; j < vectors; j++)
            store(to + i * wide + j * WIDTH, sum[i][j]);
}

/* to [deep, wide] = diag(decay) from + a^T b, for a chunk; meanwhile the next one is asked for. */
static __attribute__((noinline)) void carry(float *to, const float *from, const float *decay, const float *a,
                                            const float *b, const job *j, const place *at, int64_t next)
{
    for (int64_t i = 0; i < at->deep; i += 4) {
        int64_t n = 0, row = i * at->wide;
        if (i < 4 * CHUNK)
            expect_token(j, at, next + i / 4);
        for (; n + 2 * WIDTH <= at->wide; n += 2 * WIDTH)
            carry_tile(2, to + row + n, from + row + n, NULL, NULL, at->wide, decay + i, a + i, at->deep, b + n);
        if (n < at->wide)
            carry_tile(1, to + row + n, from + row + n, NULL, NULL, at->wide, decay + i, a + i, at->deep, b + n);
    }
}

/* The same in place, backwards; met [deep] becomes the sum over columns of what was there before times `with`. */
static __attribute__((noinline)) void carry_back(float *state, const float *with, float *met, const float *decay,
                                                 const float *a, const float *b, const job *j, const place *at,
                                                 int64_t begin)
{
    for (int64_t i = 0; i < at->deep; i += 4) {
        if (i < 4 * CHUNK) {
            int64_t t = begin + i / 4;
            expect_token(j, at, t - SEGMENT);
            if (t >= CHUNK)
                expect(j->d_out, token(j, at, t - CHUNK, j->value), j->value, j->kind_v);
        }
        float lanes[4 * WIDTH] = {0};
        int64_t n = 0, row = i * at->wide;
        for (; n + 2 * WIDTH <= at->wide; n += 2 * WIDTH) {
            float *here = state + row + n;
            carry_tile(2, here, here, with + row + n, lanes, at->wide, decay + i, a + i, at->deep, b + n);
        }
        if (n < at->wide) {
            float *here = state + row + n;
            carry_tile(1, here, here, with + row + n, lanes, at->wide, decay + i, a + i, at->deep, b + n);
        }
        for (int64_t k = 0; k < 4; k++)
            met[i + k] = total(load(lanes + k * WIDTH));
    }
}

static void read_state(float *to, const float *from, const job *j, const place *at)
{
    memset(to, 0, sizeof(float) * at->deep * at->wide);
    for (int64_t i = 0; from && i < j->key; i++)
        memcpy(to + i * at->wide, from + i * j->value, sizeof(float) * j->value);
}

static void write_state(float *to, const float *from, const job *j, const place *at)
{
    for (int64_t i = 0; i < j->key; i++)
        memcpy(to + i * j->value, from + i * at->wide, sizeof(float) * j->value);
}

INLINE int resets(const place *at, int64_t t) { return at->reset && at->reset[t]; }

static int forward_task(const void *of, int64_t task)
{
    const job *j = of;
    place at = place_of(j, task);
    int64_t deep = at.deep, wide = at.wide, matrix = j->key * j->value;
    float *state = think_scratch(sizeof(float) * (deep * wide + CHUNK * wide + deep + chunk_floats(&at)));
    if (!state)
        return NO_MEMORY;
    float *out = state + deep * wide, *bonus = out + CHUNK * wide;
    chunk c;
    carve(&c, &at, bonus + deep);
    read_rows(bonus, deep, j->bonus, at.h * j->key, 0, 1, j->key, FLOAT32);
    read_state(state, j->state + task * matrix, j, &at);
    for (c.begin = 0; c.begin < j->time; c.begin += c.length) {
        c.length = chunk_end(j, &at, c.begin) - c.begin;
        if (j->kept && c.begin && c.begin % SEGMENT == 0)
            write_state(j->kept + (task * at.kept + c.begin / SEGMENT - 1) * matrix, state, j, &at);
        if (resets(&at, c.begin))
            read_state(state, at.fresh, j, &at);
        fill(j, &at, bonus, &c);
        multiply(c.length, wide, deep, c.receive, deep, 1, state, wide, out, wide, SET, WHOLE);
        multiply(c.length, wide, c.length, c.scores, CHUNK, 1, c.v, wide, out, wide, ADD, LEFT_LOWER);
        carry(state, state, c.whole, c.send, c.v, j, &at, c.begin + c.length);
        for (int64_t t = 0; t < c.length; t++)
            write_row(j->out, token(j, &at, c.begin + t, j->value), out + t * wide, j->value, j->kind_v);
    }
    write_state(j->last + task * matrix, state, j, &at);
    return 0;
}

/* Gradients of a chunk's r, k and log decay, from those of its receive, send, whole and scores: [CHUNK, deep] each,
 * [deep], [CHUNK, CHUNK]. One vector of channels at a time, backwards through the products of decays. */
static void pairs_back(const chunk *c, const float *bonus, int64_t deep, const float *d_receive, const float *d_send,
                       const float *d_whole, const float *d_scores, float *d_r, float *d_k, float *d_decay,
                       float *d_bonus)
{
    int64_t n = c->length;
    vec sent[CHUNK + 1][CHUNK], received[CHUNK + 1], back[CHUNK];
    for (int64_t i = 0; i < deep; i += WIDTH) {
        vec own = load(bonus + i), d_own = load(d_bonus + i);
        received[0] = all(1.0f);
        for (int64_t t = 0; t < n; t++) {
            vec decay = load(c->decay + t * deep + i);
            for (int64_t s = 0; s < t; s++)
                sent[t + 1][s] = decay * sent[t][s];
            sent[t + 1][t] = load(c->k + t * deep + i);
            received[t + 1] = decay * received[t];
            back[t] = load(d_send + t * deep + i);
        }
        vec d_product = load(d_whole + i);
        for (int64_t t = n - 1; t >= 0; t--) {
            vec decay = load(c->decay + t * deep + i), r = load(c->r + t * deep + i), k = load(c->k + t * deep + i);
            vec d_received = load(d_receive + t * deep + i);
            vec d_log[2] = {d_product * received[t + 1], {0}}, d_now[2] = {d_received * received[t], {0}};
            const float *scores = d_scores + t * CHUNK;
            int64_t s = 0;
            for (; s + 2 <= t; s += 2)
#pragma GCC unroll 2
                for (int e = 0; e < 2; e++) {
                    vec gradient = back[s + e], score = all(scores[s + e]);
                    d_log[e] += gradient * sent[t + 1][s + e];
                    d_now[e] += score * sent[t][s + e];
                    back[s + e] = decay * gradient + score * r;
                }
            if (s < t) {
                vec gradient = back[s], score = all(scores[s]);
                d_log[0] += gradient * sent[t + 1][s];
                d_now[0] += score * sent[t][s];
                back[s] = decay * gradient + score * r;
            }
            d_product = decay * d_product + d_received * r;
            vec score = all(scores[t]) * own;
            store(d_r + t * deep + i, d_now[0] + d_now[1] + score * k);
            store(d_decay + t * deep + i, d_log[0] + d_log[1]);
            store(d_k + t * deep + i, score * r); /* the rest comes when `back` is done */
            d_own += scores[t] * (r * k);
        }
        for (int64_t t = 0; t < n; t++)
            store(d_k + t * deep + i, load(d_k + t * deep + i) + back[t]);
        store(d_bonus + i, d_own);
    }
}

/* Scratch memory of the gradient. */
typedef struct {
    float *bonus, *d_bonus, *d_state, *d_fresh, *states, *chunks;
    float *d_out, *d_out_across, *v_across, *d_v;                                  /* [CHUNK, wide] and across */
    float *receive_across, *send_across, *d_receive, *d_send, *d_r, *d_k, *d_decay; /* [deep, CHUNK] or across */
    float *d_scores, *d_whole;
} memory;

static int64_t carve_memory(memory *m, const place *at, float *from)
{
    int64_t tokens = CHUNK, deep = at->deep, wide = at->wide, matrix = deep * wide, used = 0;
    struct {
        float **to;
        int64_t size;
    } parts[] = {
        {&m->bonus, deep},
        {&m->d_bonus, deep},
        {&m->d_whole, deep},
        {&m->d_scores, tokens * tokens},
        {&m->d_out, tokens * wide},
        {&m->d_out_across, tokens * wide},
        {&m->v_across, tokens * wide},
        {&m->d_v, tokens * wide},
        {&m->receive_across, tokens * deep},
        {&m->send_across, tokens * deep},
        {&m->d_receive, tokens * deep},
        {&m->d_send, tokens * deep},
        {&m->d_r, tokens * deep},
        {&m->d_k, tokens * deep},
        {&m->d_decay, tokens * deep},
        {&m->d_state, matrix},
        {&m->d_fresh, matrix},
        {&m->states, CHUNKS * matrix},
        {&m->chunks, CHUNKS * chunk_floats(at)},
    };
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        if (from)
            *parts[i].to = from + used;
        used += round_up(parts[i].size, 16);
    }
    return used;
}

static void chunk_back(const job *j, const place *at, const chunk *c, const float *state, memory *m)
{
    int64_t deep = at->deep, wide = at->wide, n = c->length;
    read_chunk_rows(m->d_out, wide, j->d_out, token(j, at, c->begin, j->value), j->heads * j->value, n, j->value,
                    j->kind_v);
    transpose(CHUNK, wide, m->d_out, wide, m->d_out_across, CHUNK);
    transpose(CHUNK, wide, c->v, wide, m->v_across, CHUNK);
    multiply(n, CHUNK, wide, m->d_out, wide, 1, m->v_across, CHUNK, m->d_scores, CHUNK, SET, OUT_LOWER);
    multiply(deep, CHUNK, wide, state, wide, 1, m->d_out_across, CHUNK, m->receive_across, CHUNK, SET, WHOLE);
    multiply(deep, CHUNK, wide, m->d_state, wide, 1, m->v_across, CHUNK, m->send_across, CHUNK, SET, WHOLE);
    multiply(n, wide, deep, c->send, deep, 1, m->d_state, wide, m->d_v, wide, SET, WHOLE);
    multiply(n, wide, n, c->scores, 1, CHUNK, m->d_out, wide, m->d_v, wide, ADD, LEFT_UPPER);
    carry_back(m->d_state, state, m->d_whole, c->whole, c->receive, m->d_out, j, at, c->begin);
    transpose(deep, CHUNK, m->receive_across, CHUNK, m->d_receive, deep);
    transpose(deep, CHUNK, m->send_across, CHUNK, m->d_send, deep);
    pairs_back(c, m->bonus, deep, m->d_receive, m->d_send, m->d_whole, m->d_scores, m->d_r, m->d_k, m->d_decay,
               m->d_bonus);
    for (int64_t t = 0; t < n; t++) {
        int64_t to = token(j, at, c->begin + t, j->key);
        write_row(j->d_r, to, m->d_r + t * deep, j->key, j->kind_r);
        write_row(j->d_k, to, m->d_k + t * deep, j->key, j->kind_k);
        write_row(j->d_log_decay, to, m->d_decay + t * deep, j->key, j->kind_decay);
        write_row(j->d_v, token(j, at, c->begin + t, j->value), m->d_v + t * wide, j->value, j->kind_v);
    }
    if (!resets(at, c->begin))
        return;
    for (int64_t i = 0; i < deep * wide; i += WIDTH) {
        store(m->d_fresh + i, load(m->d_fresh + i) + load(m->d_state + i));
        store(m->d_state + i, (vec){0});
    }
}

static int backward_task(const void *of, int64_t task)
{
    const job *j = of;
    place at = place_of(j, task);
    int64_t matrix = j->key * j->value, square = at.deep * at.wide, size = chunk_floats(&at);
    memory m = {0};
    float *all_of_it = think_scratch(sizeof(float) * carve_memory(&m, &at, NULL));
    if (!all_of_it)
        return NO_MEMORY;
    carve_memory(&m, &at, all_of_it);
    memset(m.d_bonus, 0, sizeof(float) * at.deep);
    memset(m.d_fresh, 0, sizeof(float) * square);
    read_rows(m.bonus, at.deep, j->bonus, at.h * j->key, 0, 1, j->key, FLOAT32);
    read_state(m.d_state, j->d_last + task * matrix, j, &at);
    chunk chunks[CHUNKS];
    for (int64_t segment = at.kept; segment >= 0; segment--) {
        int64_t end = (segment + 1) * SEGMENT < j->time ? (segment + 1) * SEGMENT : j->time, count = 0;
        const float *entering = segment ? j->kept + (task * at.kept + segment - 1) * matrix : j->state + task * matrix;
        read_state(m.states, entering, j, &at);
        for (int64_t begin = segment * SEGMENT; begin < end; begin += chunks[count++].length) {
            chunk *c = &chunks[count];
            float *state = m.states + count * square;
            c->begin = begin, c->length = chunk_end(j, &at, begin) - begin;
            carve(c, &at, m.chunks + count * size);
            if (resets(&at, begin))
                read_state(state, at.fresh, j, &at);
            fill(j, &at, m.bonus, c);
            if (begin + c->length < end)
                carry(state + square, state, c->whole, c->send, c->v, j, &at, begin + c->length);
        }
        while (count-- > 0)
            chunk_back(j, &at, &chunks[count], m.states + count * square, &m);
    }
    write_state(j->d_state + task * matrix, m.d_state, j, &at);
    float *parts = j->parts + task * (j->key + matrix);
    memcpy(parts, m.d_bonus, sizeof(float) * j->key);
    write_state(parts + j->key, m.d_fresh, j, &at);
    return 0;
}

KERNEL(rwkv6_forward)
(const void *r, const void *k, const void *v, const void *log_decay, const float *bonus, const float *state,
 const uint8_t *reset, const float *fresh, void *out, float *last, float *kept, int64_t batch, int64_t time,
 int64_t heads, int64_t key, int64_t value, int64_t kind_r, int64_t kind_k, int64_t kind_v, int64_t kind_decay,
 int64_t threads)
{
    job j = {.r = r, .k = k, .v = v, .log_decay = log_decay, .bonus = bonus, .state = state, .reset = reset,
             .fresh = fresh, .out = out, .last = last, .kept = kept, .batch = batch, .time = time, .heads = heads,
             .key = key, .value = value, .kind_r = kind_r, .kind_k = kind_k, .kind_v = kind_v,
             .kind_decay = kind_decay};
    return think_parallel(forward_task, &j, batch * heads, threads);
}

/* d_bonus [H, K] and d_fresh [H, K, V] are sums over the rows of the batch, in order; parts [B, H, K + K V] is scratch. */
KERNEL(rwkv6_backward)
(const void *r, const void *k, const void *v, const void *log_decay, const float *bonus, const float *state,
 const uint8_t *reset, const float *fresh, const float *kept, const void *d_out, const float *d_last, void *d_r,
 void *d_k, void *d_v, void *d_log_decay, float *d_bonus, float *d_state, float *d_fresh, float *parts, int64_t batch,
 int64_t time, int64_t heads, int64_t key, int64_t value, int64_t kind_r, int64_t kind_k, int64_t kind_v,
 int64_t kind_decay, int64_t threads)
{
    job j = {.r = r, .k = k, .v = v, .log_decay = log_decay, .bonus = bonus, .state = state, .reset = reset,
             .fresh = fresh, .kept = (float *)kept, .d_out = d_out, .d_last = d_last, .d_r = d_r, .d_k = d_k,
             .d_v = d_v, .d_log_decay = d_log_decay, .d_state = d_state, .parts = parts, .batch = batch, .time = time,
             .heads = heads, .key = key, .value = value, .kind_r = kind_r, .kind_k = kind_k, .kind_v = kind_v,
             .kind_decay = kind_decay};
    int result = think_parallel(backward_task, &j, batch * heads, threads);
    if (result)
        return result;
    int64_t each = key + key * value;
    memset(d_bonus, 0, sizeof(float) * heads * key);
    memset(d_fresh, 0, sizeof(float) * heads * key * value);
    for (int64_t b = 0; b < batch; b++)
        for (int64_t h = 0; h < heads; h++) {
            const float *part = parts + (b * heads + h) * each;
            for (int64_t i = 0; i < key; i++)
                d_bonus[h * key + i] += part[i];
            for (int64_t i = 0; i < key * value && reset; i++)
                d_fresh[h * key * value + i] += part[key + i];
        }
    return 0;
}
