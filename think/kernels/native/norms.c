/* Norms of rows with an optional gate, forward and backward. ../rms_norm, ../group_norm
 *
 *     before: u = x silu(gate)      a = u (- mean u)      n = a / sqrt(mean a^2 + epsilon)      y = n weight (+ bias)
 *     after:  y <- y silu(gate)                           mean over a group of channels
 *
 * The backward pass reads a row again and norms it again: that costs less than to keep what the forward pass found.
 * A task is BLOCK rows; a row goes through scratch memory in float32, group by group, padded with zeros to full vectors.
 *
 * R rows   D channels, in groups of equal width
 */
#include "common.h"

enum { BLOCK = 32 };
enum gate { NONE, BEFORE, AFTER };

struct norm {
    const void *x, *gate;         /* [R, D], of `kind`; gate may be NULL */
    const float *weight, *bias;   /* [D]; bias may be NULL */
    void *out;                    /* [R, D] */
    const void *d_out;            /* [R, D] */
    void *d_x, *d_gate;           /* [R, D] */
    float *parts;                 /* [tasks, 2, D]: gradients of weight and bias */
    int64_t rows, channels, groups, centred, place, kind;
    float epsilon;
};

/* Rows of scratch: one group each, and weight and bias of all groups. */
struct scratch {
    float *u, *n, *x, *gate, *slope, *weight, *bias;
    int64_t width, full;
};

static int scratch_of(struct scratch *s, const struct norm *a)
{
    s->width = a->channels / a->groups;
    s->full = round_up(s->width, WIDTH);
    float *memory = think_scratch((size_t)((5 + 2 * a->groups) * s->full) * sizeof(float));
    if (!memory)
        return NO_MEMORY;
    s->u = memory;
    s->n = s->u + s->full;
    s->x = s->n + s->full;
    s->gate = s->x + s->full;
    s->slope = s->gate + s->full;
    s->weight = s->slope + s->full;
    s->bias = s->weight + a->groups * s->full;
    memset(memory, 0, (size_t)((5 + 2 * a->groups) * s->full) * sizeof(float));
    for (int64_t g = 0; g < a->groups; g++) {
        memcpy(s->weight + g * s->full, a->weight + g * s->width, (size_t)s->width * sizeof(float));
        if (a->bias)
            memcpy(s->bias + g * s->full, a->bias + g * s->width, (size_t)s->width * sizeof(float));
    }
    return 0;
}

/* Norms the group at `at` into s->n; gives the factor. */
INLINE float normed(struct scratch *s, const struct norm *a, int64_t at, const enum gate place)
{
    int64_t full = s->full;
    vec sum = all(0.0f), squares = all(0.0f);
    read_row(s->x, a->x, at, s->width, a->kind);
    if (place != NONE)
        read_row(s->gate, a->gate, at, s->width, a->kind);
    for (int64_t i = 0; i < full; i += WIDTH) {
        vec u = load(s->x + i);
        if (place == BEFORE) {
            vec gate = load(s->gate + i);
            u *= gate * vsigmoid(gate);
        }
        store(s->n + i, u);
        sum += u;
        squares += u * u;
    }
    if (a->centred) {
        vec mean = all(total(sum) / (float)s->width);
        squares = all(0.0f);
        for (int64_t i = 0; i < full; i += WIDTH)
            store(s->n + i, load(s->n + i) - mean);
        for (int64_t i = s->width; i < full; i++)
            s->n[i] = 0.0f;
        for (int64_t i = 0; i < full; i += WIDTH)
            squares += load(s->n + i) * load(s->n + i);
    }
    float factor = 1.0f / __builtin_sqrtf(total(squares) / (float)s->width + a->epsilon);
    for (int64_t i = 0; i < full; i += WIDTH)
        store(s->n + i, load(s->n + i) * factor);
    return factor;
}

INLINE void group_forward(struct scratch *s, const struct norm *a, int64_t row, int64_t g, const enum gate place)
{
    int64_t at = row * a->channels + g * s->width;
    const float *weight = s->weight + g * s->full, *bias = s->bias + g * s->full;
    normed(s, a, at, place);
    for (int64_t i = 0; i < s->full; i += WIDTH) {
        vec y = load(s->n + i) * load(weight + i) + load(bias + i);
        if (place == AFTER) {
            vec gate = load(s->gate + i);
            y *= gate * vsigmoid(gate);
        }
        store(s->u + i, y);
    }
    write_row(a->out, at, s->u, s->width, a->kind);
}

/* d (x silu(x)) / dx over x: sigmoid (1 + x (1 - sigmoid)) */
INLINE vec silu_slope(vec x, vec sigmoid) { return sigmoid * (1.0f + x * (1.0f - sigmoid)); }

INLINE void group_backward(struct scratch *s, const struct norm *a, int64_t row, int64_t g, float *d_weight,
                           float *d_bias, const enum gate place)
{
    int64_t full = s->full, at = row * a->channels + g * s->width;
    const float *weight = s->weight + g * full, *bias = s->bias + g * full;
    float factor = normed(s, a, at, place);
    read_row(s->slope, a->d_out, at, s->width, a->kind);
    vec sum = all(0.0f), product = all(0.0f);
    for (int64_t i = 0; i < full; i += WIDTH) {
        vec slope = load(s->slope + i), n = load(s->n + i);
        if (place == AFTER) {
            vec gate = load(s->gate + i), sigmoid = vsigmoid(gate);
            store(s->gate + i, slope * (n * load(weight + i) + load(bias + i)) * silu_slope(gate, sigmoid));
            slope *= gate * sigmoid;
        }
        store(d_weight + g * full + i, load(d_weight + g * full + i) + slope * n);
        store(d_bias + g * full + i, load(d_bias + g * full + i) + slope);
        slope *= load(weight + i);
        store(s->slope + i, slope);
        sum += slope;
        product += slope * n;
    }
    vec mean = all(a->centred ? total(sum) / (float)s->width : 0.0f), along = all(total(product) / (float)s->width);
    for (int64_t i = 0; i < full; i += WIDTH) {
        vec slope = factor * (load(s->slope + i) - mean - load(s->n + i) * along);
        if (place == BEFORE) {
            vec gate = load(s->gate + i), sigmoid = vsigmoid(gate);
            store(s->gate + i, slope * load(s->x + i) * silu_slope(gate, sigmoid));
            slope *= gate * sigmoid;
        }
        store(s->u + i, slope);
    }
    write_row(a->d_x, at, s->u, s->width, a->kind);
    if (place != NONE)
        write_row(a->d_gate, at, s->gate, s->width, a->kind);
}

INLINE int64_t end_of(const struct norm *a, int64_t task)
{
    return (task + 1) * BLOCK < a->rows ? (task + 1) * BLOCK : a->rows;
}

static int forward_task(const void *job, int64_t task)
{
    const struct norm *a = job;
    struct scratch s;
    if (scratch_of(&s, a))
        return NO_MEMORY;
    for (int64_t row = task * BLOCK; row < end_of(a, task); row++)
        for (int64_t g = 0; g < a->groups; g++)
            if (a->place == NONE)
                group_forward(&s, a, row, g, NONE);
            else if (a->place == BEFORE)
                group_forward(&s, a, row, g, BEFORE);
            else
                group_forward(&s, a, row, g, AFTER);
    return 0;
}

static int backward_task(const void *job, int64_t task)
{
    const struct norm *a = job;
    struct scratch s;
    if (scratch_of(&s, a))
        return NO_MEMORY;
    /* padded like the rows in scratch, and as many for each task */
    float *d_weight = a->parts + task * 2 * a->groups * s.full, *d_bias = d_weight + a->groups * s.full;
    memset(d_weight, 0, (size_t)(2 * a->groups * s.full) * sizeof(float));
    for (int64_t row = task * BLOCK; row < end_of(a, task); row++)
        for (int64_t g = 0; g < a->groups; g++)
            if (a->place == NONE)
                group_backward(&s, a, row, g, d_weight, d_bias, NONE);
            else if (a->place == BEFORE)
                group_backward(&s, a, row, g, d_weight, d_bias, BEFORE);
            else
                group_backward(&s, a, row, g, d_weight, d_bias, AFTER);
    return 0;
}

KERNEL(norm_forward)
(const void *x, const void *gate, const float *weight, const float *bias, void *out, int64_t rows, int64_t channels,
 int64_t groups, float epsilon, int64_t centred, int64_t place, int64_t kind, int64_t threads)
{
    struct norm a = {.x = x, .gate = gate, .weight = weight, .bias = bias, .out = out, .rows = rows,
                     .channels = channels, .groups = groups, .epsilon = epsilon, .centred = centred, .place = place,
                     .kind = kind};
    return think_parallel(forward_task, &a, (rows + BLOCK - 1) / BLOCK, threads);
}

/* parts: 2 x groups x (width of a group, up to a multiple of 16) floats for every 32 rows */
KERNEL(norm_backward)
(const void *x, const void *gate, const float *weight, const float *bias, const void *d_out, void *d_x, void *d_gate,
 float *d_weight, float *d_bias, float *parts, int64_t rows, int64_t channels, int64_t groups, float epsilon,
 int64_t centred, int64_t place, int64_t kind, int64_t threads)
{
    struct norm a = {.x = x, .gate = gate, .weight = weight, .bias = bias, .d_out = d_out, .d_x = d_x,
                     .d_gate = d_gate, .parts = parts, .rows = rows, .channels = channels, .groups = groups,
                     .epsilon = epsilon, .centred = centred, .place = place, .kind = kind};
    int64_t tasks = (rows + BLOCK - 1) / BLOCK, width = channels / groups, full = round_up(width, WIDTH);
    int result = think_parallel(backward_task, &a, tasks, threads);
    memset(d_weight, 0, (size_t)channels * sizeof(float));
    if (d_bias)
        memset(d_bias, 0, (size_t)channels * sizeof(float));
    for (int64_t task = 0; task < tasks; task++) {
        const float *part = parts + task * 2 * groups * full;
        for (int64_t g = 0; g < groups; g++)
            for (int64_t i = 0; i < width; i++) {
                d_weight[g * width + i] += part[g * full + i];
                if (d_bias)
                    d_bias[g * width + i] += part[(groups + g) * full + i];
            }
    }
    return result;
}
