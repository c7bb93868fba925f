/* Each token mixed with the one before it, in several shares, forward and backward. ../token_mix
 *
 *     out_st = x_t + share_st (x_{t-1} - x_t)          x_{-1} = last; zeros before a token that begins a document
 *
 * A task is one row of the batch and BLOCK tokens. Rows go through scratch memory in float32, padded to full vectors.
 *
 * S streams   B batch   T time   D channels
 */
#include "common.h"

enum { BLOCK = 32 };

struct mix {
    const void *x;           /* [B, T, D], of `kind` */
    const float *last;       /* [B, D] */
    const void *share;       /* [S, B, T, D], of `kind`, or [S, D], of float32, when `fixed` */
    const uint8_t *reset;    /* [B, T] or NULL */
    void *out;               /* [S, B, T, D] */
    const int64_t *d_out;    /* [S] addresses of [B, T, D] */
    void *d_x;               /* [B, T, D] */
    float *d_last;           /* [B, D] */
    void *d_share;           /* like share, when not `fixed` */
    float *parts;            /* [tasks, S, D], when `fixed` */
    int64_t streams, batch, time, channels, fixed, kind;
};

/* Where task t works. */
struct place {
    int64_t b, begin, end, full;
};

static struct place place_of(const struct mix *a, int64_t task)
{
    int64_t blocks = (a->time + BLOCK - 1) / BLOCK, begin = task % blocks * BLOCK;
    int64_t end = begin + BLOCK < a->time ? begin + BLOCK : a->time;
    return (struct place){task / blocks, begin, end, round_up(a->channels, WIDTH)};
}

INLINE int begins(const struct mix *a, int64_t b, int64_t t) { return a->reset && a->reset[b * a->time + t]; }

/* What stands before token t; padding stays as it is. */
static void before(float *row, const struct mix *a, int64_t b, int64_t t)
{
    if (begins(a, b, t))
        memset(row, 0, (size_t)a->channels * sizeof(float));
    else if (t == 0)
        memcpy(row, a->last + b * a->channels, (size_t)a->channels * sizeof(float));
    else
        read_row(row, a->x, (b * a->time + t - 1) * a->channels, a->channels, a->kind);
}

INLINE int64_t place_in_stream(const struct mix *a, int64_t s, int64_t b, int64_t t)
{
    return ((s * a->batch + b) * a->time + t) * a->channels;
}

/* The share of a stream at a token, from memory where nothing has to be done to it. */
INLINE const float *share_of(float *row, const struct mix *a, int64_t s, int64_t at)
{
    if (a->fixed && a->channels % WIDTH == 0)
        return (const float *)a->share + s * a->channels;
    if (a->fixed)
        memcpy(row, (const float *)a->share + s * a->channels, (size_t)a->channels * sizeof(float));
    else if (a->kind == FLOAT32 && a->channels % WIDTH == 0)
        return (const float *)a->share + at;
    else
        read_row(row, a->share, at, a->channels, a->kind);
    return row;
}

static int forward_task(const void *job, int64_t task)
{
    const struct mix *a = job;
    struct place p = place_of(a, task);
    float *now = think_scratch((size_t)(4 * p.full) * sizeof(float));
    if (!now)
        return NO_MEMORY;
    memset(now, 0, (size_t)(4 * p.full) * sizeof(float));
    float *step = now + p.full, *mine = step + p.full, *out = mine + p.full;
    for (int64_t t = p.begin; t < p.end; t++) {
        before(step, a, p.b, t);
        read_row(now, a->x, (p.b * a->time + t) * a->channels, a->channels, a->kind);
        for (int64_t i = 0; i < p.full; i += WIDTH)
            store(step + i, load(step + i) - load(now + i));
        for (int64_t s = 0; s < a->streams; s++) {
            int64_t at = place_in_stream(a, s, p.b, t);
            const float *share = share_of(mine, a, s, at);
            for (int64_t i = 0; i < p.full; i += WIDTH)
                store(out + i, load(now + i) + load(share + i) * load(step + i));
            write_row(a->out, at, out, a->channels, a->kind);
        }
    }
    return 0;
}

/* Gradients of the shares of token t; adds to `here` and `back` what goes to token t and to the one before it. */
static void token_backward(const struct mix *a, struct place p, int64_t t, float *rows, float *here, float *back,
                           float *part, int shares)
{
    float *step = rows, *mine = step + p.full, *slope = mine + p.full, *d_share = slope + p.full;
    if (shares) {
        before(step, a, p.b, t);
        read_row(slope, a->x, (p.b * a->time + t) * a->channels, a->channels, a->kind);
        for (int64_t i = 0; i < p.full; i += WIDTH)
            store(step + i, load(step + i) - load(slope + i));
    }
    for (int64_t s = 0; s < a->streams; s++) {
        int64_t at = place_in_stream(a, s, p.b, t);
        const float *share = share_of(mine, a, s, at);
        read_row(slope, (const void *)(intptr_t)a->d_out[s], (p.b * a->time + t) * a->channels, a->channels, a->kind);
        for (int64_t i = 0; i < p.full; i += WIDTH) {
            vec d = load(slope + i), backward = d * load(share + i);
            store(here + i, load(here + i) + (d - backward));
            store(back + i, load(back + i) + backward);
            if (shares)
                store(d_share + i, d * load(step + i));
        }
        if (shares && a->fixed)
            for (int64_t i = 0; i < a->channels; i++)
                part[s * a->channels + i] += d_share[i];
        else if (shares)
            write_row(a->d_share, at, d_share, a->channels, a->kind);
    }
}

static int backward_task(const void *job, int64_t task)
{
    const struct mix *a = job;
    struct place p = place_of(a, task);
    float *rows = think_scratch((size_t)(7 * p.full) * sizeof(float));
    if (!rows)
        return NO_MEMORY;
    memset(rows, 0, (size_t)(7 * p.full) * sizeof(float));
    float *here = rows + 4 * p.full, *back = here + p.full, *d_x = back + p.full;
    float *part = a->fixed ? a->parts + task * a->streams * a->channels : NULL;
    if (part)
        memset(part, 0, (size_t)(a->streams * a->channels) * sizeof(float));
    size_t row = (size_t)p.full * sizeof(float);
    for (int64_t t = p.begin; t <= p.end && t < a->time; t++) {
        memset(here, 0, row);
        memset(back, 0, row);
        token_backward(a, p, t, rows, here, back, part, t < p.end);
        int reaches = !begins(a, p.b, t);
        if (t == 0 && reaches)
            memcpy(a->d_last + p.b * a->channels, back, (size_t)a->channels * sizeof(float));
        else if (t == 0)
            memset(a->d_last + p.b * a->channels, 0, (size_t)a->channels * sizeof(float));
        if (t > p.begin) {
            for (int64_t i = 0; reaches && i < p.full; i += WIDTH)
                store(d_x + i, load(d_x + i) + load(back + i));
            write_row(a->d_x, (p.b * a->time + t - 1) * a->channels, d_x, a->channels, a->kind);
        }
        memcpy(d_x, here, row);
    }
    if (p.end == a->time)
        write_row(a->d_x, (p.b * a->time + a->time - 1) * a->channels, d_x, a->channels, a->kind);
    return 0;
}

INLINE int64_t tasks_of(const struct mix *a) { return a->batch * ((a->time + BLOCK - 1) / BLOCK); }

KERNEL(token_mix_forward)
(const void *x, const float *last, const void *share, const uint8_t *reset, void *out, int64_t streams, int64_t batch,
 int64_t time, int64_t channels, int64_t fixed, int64_t kind, int64_t threads)
{
    struct mix a = {.x = x, .last = last, .share = share, .reset = reset, .out = out, .streams = streams,
                    .batch = batch, .time = time, .channels = channels, .fixed = fixed, .kind = kind};
    return think_parallel(forward_task, &a, tasks_of(&a), threads);
}

/* d_out: addresses, since what the streams went into gives each one its own. d_share: [S, B, T, D] of `kind`, or [S, D] of float32 when `fixed`; parts: then as many for every 32 tokens */
KERNEL(token_mix_backward)
(const void *x, const float *last, const void *share, const uint8_t *reset, const int64_t *d_out, void *d_x,
 float *d_last, void *d_share, float *parts, int64_t streams, int64_t batch, int64_t time, int64_t channels,
 int64_t fixed, int64_t kind, int64_t threads)
{
    struct mix a = {.x = x, .last = last, .share = share, .reset = reset, .d_out = d_out, .d_x = d_x,
                    .d_last = d_last, .d_share = d_share, .parts = parts, .streams = streams, .batch = batch,
                    .time = time, .channels = channels, .fixed = fixed, .kind = kind};
    int result = think_parallel(backward_task, &a, tasks_of(&a), threads);
    if (fixed) {
        float *whole = d_share;
        int64_t size = streams * channels;
        memset(whole, 0, (size_t)size * sizeof(float));
        for (int64_t task = 0; task < tasks_of(&a); task++)
            for (int64_t i = 0; i < size; i++)
                whole[i] += parts[task * size + i];
    }
    return result;
}
