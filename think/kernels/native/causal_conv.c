/* Depthwise causal convolution over time with an optional SiLU, forward and backward. ../causal_conv/README.md
 *
 *     out_t = activation(bias + sum_j weight_j x_{t-(W-1)+j})
 *
 * A task is one row of the batch and BLOCK channels. It goes through time in segments, which begin at resets, and in
 * tiles of a segment; a tile's inputs lie in scratch memory behind the W - 1 that come before them, from the tile before
 * or from the state that enters the segment. Vectors run over channels.
 *
 * B batch  T time  C channels  W window (taps)
 */
#include "common.h"

enum { BLOCK = 64, TILE = 32 };

struct conv {
    const void *x;                     /* [B, T, C], of `kind` */
    const float *weight, *bias;        /* [C, W], [C] or NULL */
    const float *state, *fresh;        /* [B, C, W-1], [C, W-1] or NULL for zeros */
    const uint8_t *reset;              /* [B, T] or NULL */
    void *out;                         /* [B, T, C] */
    float *last;                       /* [B, C, W-1] */
    const void *d_out;                 /* [B, T, C] */
    const float *d_last;               /* [B, C, W-1] */
    void *d_x;                         /* [B, T, C] */
    float *d_state;                    /* [B, C, W-1] */
    float *parts;                      /* [B, 2W, C]: gradients of weight, bias, fresh, for each row of the batch */
    int64_t batch, time, channels, window, silu, kind;
};

/* A task's place: row b, channels c .. c+count-1. */
struct place {
    int64_t b, c, count, vectors;
};

static struct place place_of(const struct conv *a, int64_t task)
{
    int64_t blocks = (a->channels + BLOCK - 1) / BLOCK, c = task % blocks * BLOCK;
    int64_t count = a->channels - c < BLOCK ? a->channels - c : BLOCK;
    return (struct place){task / blocks, c, count, (count + WIDTH - 1) / WIDTH};
}

/* The first token after `begin` that starts a document, or `time`. */
INLINE int64_t segment_end(const struct conv *a, int64_t b, int64_t begin)
{
    int64_t t = begin + 1;
    while (t < a->time && !(a->reset && a->reset[b * a->time + t]))
        t++;
    return t;
}

/* W - 1 rows of BLOCK channels from [C, W-1]; zeros from NULL. */
static void enter(float *rows, const float *from, struct place at, int64_t width)
{
    memset(rows, 0, (size_t)(width * BLOCK) * sizeof(float));
    for (int64_t i = 0; from && i < at.count; i++)
        for (int64_t j = 0; j < width; j++)
            rows[j * BLOCK + i] = from[(at.c + i) * width + j];
}

static void taps_of(float *taps, float *bias, const struct conv *a, struct place at)
{
    memset(taps, 0, (size_t)(a->window * BLOCK) * sizeof(float));
    memset(bias, 0, BLOCK * sizeof(float));
    for (int64_t i = 0; i < at.count; i++) {
        for (int64_t j = 0; j < a->window; j++)
            taps[j * BLOCK + i] = a->weight[(at.c + i) * a->window + j];
        bias[i] = a->bias ? a->bias[at.c + i] : 0.0f;
    }
}

/* The sums before the activation of `count` tokens; rows[0] is the oldest that the first token sees. */
INLINE vec weighted(const float *rows, const float *taps, vec bias, int64_t window)
{
    vec sum = bias;
    for (int64_t j = 0; j < window; j++)
        sum += load(taps + j * BLOCK) * load(rows + j * BLOCK);
    return sum;
}

INLINE void tile_forward(float *out, const float *rows, const float *taps, const float *bias, int64_t count,
                         int64_t vectors, int64_t window, int64_t silu)
{
    for (int64_t v = 0; v < vectors * WIDTH; v += WIDTH) {
        vec constant = load(bias + v);
        for (int64_t t = 0; t < count; t++) {
            vec sum = weighted(rows + t * BLOCK + v, taps + v, constant, window);
            store(out + t * BLOCK + v, silu ? sum * vsigmoid(sum) : sum);
        }
    }
}

static int forward_task(const void *job, int64_t task)
{
    const struct conv *a = job;
    struct place at = place_of(a, task);
    int64_t width = a->window - 1, rows_size = (width + TILE) * BLOCK;
    float *rows = think_scratch((size_t)(rows_size + TILE * BLOCK + a->window * BLOCK + BLOCK) * sizeof(float));
    if (!rows)
        return NO_MEMORY;
    float *out = rows + rows_size, *taps = out + TILE * BLOCK, *bias = taps + a->window * BLOCK;
    memset(rows, 0, (size_t)rows_size * sizeof(float));
    taps_of(taps, bias, a, at);
    const float *entering = a->state + at.b * a->channels * width;
    for (int64_t begin = 0, end; begin < a->time; begin = end) {
        int starts = a->reset && a->reset[at.b * a->time + begin];
        end = segment_end(a, at.b, begin);
        enter(rows, starts ? a->fresh : entering, at, width);
        for (int64_t t = begin, count; t < end; t += count) {
            count = end - t < TILE ? end - t : TILE;
            int64_t first = (at.b * a->time + t) * a->channels + at.c;
            for (int64_t i = 0; i < count; i++)
                read_row(rows + (width + i) * BLOCK, a->x, first + i * a->channels, at.count, a->kind);
            if (a->window == 4)
                tile_forward(out, rows, taps, bias, count, at.vectors, 4, a->silu);
            else
                tile_forward(out, rows, taps, bias, count, at.vectors, a->window, a->silu);
            for (int64_t i = 0; i < count; i++)
                write_row(a->out, first + i * a->channels, out + i * BLOCK, at.count, a->kind);
            memmove(rows, rows + count * BLOCK, (size_t)(width * BLOCK) * sizeof(float));
        }
    }
    for (int64_t i = 0; i < at.count; i++)
        for (int64_t j = 0; j < width; j++)
            a->last[(at.b * a->channels + at.c + i) * width + j] = rows[j * BLOCK + i];
    return 0;
}

/* Gradients of the sums before the activation, and those of weight and bias, which add up over the tiles. */
INLINE void tile_sums(float *d_sums, float *d_taps, float *d_bias, const float *d_out, const float *rows,
                      const float *taps, const float *bias, int64_t count, int64_t vectors, int64_t window,
                      int64_t silu)
{
    for (int64_t v = 0; v < vectors * WIDTH; v += WIDTH) {
        vec constant = load(bias + v), d_constant = load(d_bias + v);
        for (int64_t t = 0; t < count; t++) {
            vec d_sum = load(d_out + t * BLOCK + v);
            if (silu) {
                vec sum = weighted(rows + t * BLOCK + v, taps + v, constant, window), open = vsigmoid(sum);
                d_sum *= open * (1.0f + sum * (1.0f - open));
            }
            store(d_sums + t * BLOCK + v, d_sum);
            d_constant += d_sum;
        }
        store(d_bias + v, d_constant);
        for (int64_t j = 0; j < window; j++) {
            vec d_tap = load(d_taps + j * BLOCK + v);
            for (int64_t t = 0; t < count; t++)
                d_tap += load(d_sums + t * BLOCK + v) * load(rows + (t + j) * BLOCK + v);
            store(d_taps + j * BLOCK + v, d_tap);
        }
    }
}

/* Gradients of `count` inputs; d_sums[0] is that of the first of them. */
INLINE void tile_inputs(float *d_rows, const float *d_sums, const float *taps, int64_t count, int64_t vectors,
                        int64_t window)
{
    for (int64_t v = 0; v < vectors * WIDTH; v += WIDTH)
        for (int64_t t = 0; t < count; t++) {
            vec sum = {0};
            for (int64_t lag = 0; lag < window; lag++)
                sum += load(taps + (window - 1 - lag) * BLOCK + v) * load(d_sums + (t + lag) * BLOCK + v);
            store(d_rows + t * BLOCK + v, sum);
        }
}

/* Where the gradients of inputs go: token p of the segment, or a column of what entered it. */
static void leave(const struct conv *a, struct place at, const float *d_rows, int64_t p, int64_t count, int64_t begin,
                  float *d_entering)
{
    for (int64_t i = 0; i < count; i++, p++) {
        const float *row = d_rows + i * BLOCK;
        if (p >= begin) {
            write_row(a->d_x, (at.b * a->time + p) * a->channels + at.c, row, at.count, a->kind);
            continue;
        }
        float *to = d_entering + (p - begin + a->window - 1) * BLOCK;
        for (int64_t c = 0; c < at.count; c++)
            to[c] += row[c];
    }
}

static int backward_task(const void *job, int64_t task)
{
    const struct conv *a = job;
    struct place at = place_of(a, task);
    int64_t window = a->window, width = window - 1, longest = TILE > width ? TILE : width;
    int64_t sizes[] = {width + TILE, longest + width, longest, window, 1, window, 1, width, width}, size = 0;
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
        size += sizes[i] * BLOCK;
    float *memory = think_scratch((size_t)size * sizeof(float)), *parts[9];
    if (!memory)
        return NO_MEMORY;
    memset(memory, 0, (size_t)size * sizeof(float));
    for (int i = 0; i < 9; memory += sizes[i] * BLOCK, i++)
        parts[i] = memory;
    float *rows = parts[0], *d_sums = parts[1], *d_rows = parts[2], *taps = parts[3], *bias = parts[4];
    float *d_taps = parts[5], *d_bias = parts[6], *d_state = parts[7], *d_fresh = parts[8];
    taps_of(taps, bias, a, at);
    const float *entering = a->state + at.b * a->channels * width;
    for (int64_t begin = 0, end; begin < a->time; begin = end) {
        int starts = a->reset && a->reset[at.b * a->time + begin];
        float *d_entering = starts ? d_fresh : d_state;
        end = segment_end(a, at.b, begin);
        enter(rows, starts ? a->fresh : entering, at, width);
        memset(d_sums, 0, (size_t)(width * BLOCK) * sizeof(float));
        for (int64_t t = begin, count; t < end; t += count) {
            count = end - t < TILE ? end - t : TILE;
            int64_t first = (at.b * a->time + t) * a->channels + at.c;
            for (int64_t i = 0; i < count; i++) {
                read_row(rows + (width + i) * BLOCK, a->x, first + i * a->channels, at.count, a->kind);
                read_row(d_rows + i * BLOCK, a->d_out, first + i * a->channels, at.count, a->kind);
            }
            float *now = d_sums + width * BLOCK;
            if (window == 4) {
                tile_sums(now, d_taps, d_bias, d_rows, rows, taps, bias, count, at.vectors, 4, a->silu);
                tile_inputs(d_rows, d_sums, taps, count, at.vectors, 4);
            } else {
                tile_sums(now, d_taps, d_bias, d_rows, rows, taps, bias, count, at.vectors, window, a->silu);
                tile_inputs(d_rows, d_sums, taps, count, at.vectors, window);
            }
            leave(a, at, d_rows, t - width, count, begin, d_entering);
            memmove(d_sums, d_sums + count * BLOCK, (size_t)(width * BLOCK) * sizeof(float));
            memmove(rows, rows + count * BLOCK, (size_t)(width * BLOCK) * sizeof(float));
        }
        memset(d_sums + width * BLOCK, 0, (size_t)(width * BLOCK) * sizeof(float));
        tile_inputs(d_rows, d_sums, taps, width, at.vectors, window);
        for (int64_t j = 0; end == a->time && j < width; j++)
            for (int64_t i = 0; i < at.count; i++)
                d_rows[j * BLOCK + i] += a->d_last[(at.b * a->channels + at.c + i) * width + j];
        leave(a, at, d_rows, end - width, width, begin, d_entering);
    }
    float *to = a->parts + at.b * 2 * window * a->channels + at.c;
    for (int64_t j = 0; j < window; j++)
        memcpy(to + j * a->channels, d_taps + j * BLOCK, (size_t)at.count * sizeof(float));
    memcpy(to + window * a->channels, d_bias, (size_t)at.count * sizeof(float));
    for (int64_t j = 0; j < width; j++)
        memcpy(to + (window + 1 + j) * a->channels, d_fresh + j * BLOCK, (size_t)at.count * sizeof(float));
    for (int64_t i = 0; i < at.count; i++)
        for (int64_t j = 0; j < width; j++)
            a->d_state[(at.b * a->channels + at.c + i) * width + j] = d_state[j * BLOCK + i];
    return 0;
}

KERNEL(causal_conv_forward)
(const void *x, const float *weight, const float *bias, const float *state, const uint8_t *reset, const float *fresh,
 void *out, float *last, int64_t batch, int64_t time, int64_t channels, int64_t window, int64_t silu, int64_t kind,
 int64_t threads)
{
    struct conv a = {.x = x, .weight = weight, .bias = bias, .state = state, .reset = reset, .fresh = fresh,
                     .out = out, .last = last, .batch = batch, .time = time, .channels = channels,
                     .window = window, .silu = silu, .kind = kind};
    return think_parallel(forward_task, &a, batch * ((channels + BLOCK - 1) / BLOCK), threads);
}

/* d_weight [C, W], d_bias [C], d_fresh [C, W-1] (the last two may be NULL) are sums over the rows of the batch, in order. */
KERNEL(causal_conv_backward)
(const void *x, const float *weight, const float *bias, const float *state, const uint8_t *reset, const float *fresh,
 const void *d_out, const float *d_last, void *d_x, float *d_weight, float *d_bias, float *d_state, float *d_fresh,
 float *parts, int64_t batch, int64_t time, int64_t channels, int64_t window, int64_t silu, int64_t kind,
 int64_t threads)
{
    struct conv a = {.x = x, .weight = weight, .bias = bias, .state = state, .reset = reset, .fresh = fresh,
                     .d_out = d_out, .d_last = d_last, .d_x = d_x, .d_state = d_state, .parts = parts,
                     .batch = batch, .time = time, .channels = channels, .window = window, .silu = silu, .kind = kind};
    int result = think_parallel(backward_task, &a, batch * ((channels + BLOCK - 1) / BLOCK), threads);
    if (result)
        return result;
    for (int64_t j = 0; j < 2 * window; j++)
        for (int64_t c = 0; c < channels; c++) {
            float sum = 0.0f;
            for (int64_t b = 0; b < batch; b++)
                sum += parts[(b * 2 * window + j) * channels + c];
            if (j < window)
                d_weight[c * window + j] = sum;
            else if (j == window && d_bias)
                d_bias[c] = sum;
            else if (j > window && d_fresh)
                d_fresh[c * (window - 1) + j - window - 1] = sum;
        }
    return 0;
}
