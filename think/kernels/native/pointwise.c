/* Small functions of single numbers, forward and backward, each in one pass over memory.
 *
 *     squared_relu   y = max(x, 0)^2                      ../squared_relu
 *     sigmoid_gate   y = sigmoid(g) x                     ../sigmoid_gate
 *     scaled_sum     y = a x + b z, for each channel      ../scaled_sum
 *
 * A task is BLOCK numbers, or BLOCK_ROWS rows; what is left behind the last full vector goes through a padded copy.
 */
#include "common.h"

enum { BLOCK = 1 << 13, BLOCK_ROWS = 64 };

typedef void (*each)(vec *results, const vec *given);

/* Up to three rows of numbers in, up to two out. */
struct flat {
    const void *given[3];
    void *results[2];
    int64_t count, kind;
};

INLINE void over(const struct flat *a, int64_t task, const int inputs, const int outputs, const each function)
{
    int64_t i = task * BLOCK, end = i + BLOCK < a->count ? i + BLOCK : a->count;
    for (; i + WIDTH <= end; i += WIDTH) {
        vec given[3], results[2];
        for (int k = 0; k < inputs; k++)
            given[k] = load_any(a->given[k], i, a->kind);
        function(results, given);
        for (int k = 0; k < outputs; k++)
            store_any(a->results[k], i, results[k], a->kind);
    }
    if (i < end) {
        float lanes[WIDTH] = {0};
        vec given[3], results[2];
        for (int k = 0; k < inputs; k++) {
            read_row(lanes, a->given[k], i, end - i, a->kind);
            given[k] = load(lanes);
        }
        function(results, given);
        for (int k = 0; k < outputs; k++) {
            store(lanes, results[k]);
            write_row(a->results[k], i, lanes, end - i, a->kind);
        }
    }
}

INLINE void squared_relu(vec *y, const vec *x)
{
    vec positive = larger(x[0], all(0.0f));
    positive = choose(x[0] == x[0], positive, x[0]); /* a NaN stays one */
    y[0] = positive * positive;
}

/* given: x, d_y */
INLINE void squared_relu_slope(vec *d_x, const vec *given)
{
    d_x[0] = 2.0f * larger(given[0], all(0.0f)) * given[1];
}

/* given: gate, x */
INLINE void sigmoid_gate(vec *y, const vec *given) { y[0] = vsigmoid(given[0]) * given[1]; }

/* given: gate, x, d_y; results: d_gate, d_x */
INLINE void sigmoid_gate_slope(vec *results, const vec *given)
{
    vec sigmoid = vsigmoid(given[0]);
    results[1] = given[2] * sigmoid;
    results[0] = results[1] * (1.0f - sigmoid) * given[1];
}

static int squared_relu_task(const void *job, int64_t task) { return over(job, task, 1, 1, squared_relu), 0; }
static int squared_relu_slope_task(const void *job, int64_t task)
{
    return over(job, task, 2, 1, squared_relu_slope), 0;
}
static int sigmoid_gate_task(const void *job, int64_t task) { return over(job, task, 2, 1, sigmoid_gate), 0; }
static int sigmoid_gate_slope_task(const void *job, int64_t task)
{
    return over(job, task, 3, 2, sigmoid_gate_slope), 0;
}

INLINE int run(think_task task, struct flat a, int64_t threads)
{
    return think_parallel(task, &a, (a.count + BLOCK - 1) / BLOCK, threads);
}

KERNEL(squared_relu_forward)(const void *x, void *out, int64_t count, int64_t kind, int64_t threads)
{
    return run(squared_relu_task, (struct flat){{x}, {out}, count, kind}, threads);
}

KERNEL(squared_relu_backward)
(const void *x, const void *d_out, void *d_x, int64_t count, int64_t kind, int64_t threads)
{
    return run(squared_relu_slope_task, (struct flat){{x, d_out}, {d_x}, count, kind}, threads);
}

KERNEL(sigmoid_gate_forward)(const void *gate, const void *x, void *out, int64_t count, int64_t kind, int64_t threads)
{
    return run(sigmoid_gate_task, (struct flat){{gate, x}, {out}, count, kind}, threads);
}

KERNEL(sigmoid_gate_backward)
(const void *gate, const void *x, const void *d_out, void *d_gate, void *d_x, int64_t count, int64_t kind,
 int64_t threads)
{
    return run(sigmoid_gate_slope_task, (struct flat){{gate, x, d_out}, {d_gate, d_x}, count, kind}, threads);
}

/* R rows   D channels */
struct sum {
    const void *x, *z;        /* [R, D], of `kind` */
    const float *a, *b;       /* [D]; a may be NULL for ones */
    void *out;                /* [R, D] */
    const void *d_out;        /* [R, D] */
    void *d_x, *d_z;          /* [R, D]; d_x may be NULL: it is d_out then */
    float *parts;             /* [tasks, 2, D]: gradients of a and b */
    int64_t rows, channels, kind;
};

INLINE int64_t last_row(const struct sum *s, int64_t task)
{
    return (task + 1) * BLOCK_ROWS < s->rows ? (task + 1) * BLOCK_ROWS : s->rows;
}

static int sum_task(const void *job, int64_t task)
{
    const struct sum *s = job;
    int64_t full = round_up(s->channels, WIDTH);
    float *x = think_scratch((size_t)(2 * full) * sizeof(float)), *z = x + full;
    if (!x)
        return NO_MEMORY;
    for (int64_t row = task * BLOCK_ROWS; row < last_row(s, task); row++) {
        read_row(x, s->x, row * s->channels, s->channels, s->kind);
        read_row(z, s->z, row * s->channels, s->channels, s->kind);
        for (int64_t i = 0; i < s->channels; i++)
            x[i] = (s->a ? s->a[i] * x[i] : x[i]) + s->b[i] * z[i];
        write_row(s->out, row * s->channels, x, s->channels, s->kind);
    }
    return 0;
}

static int sum_slope_task(const void *job, int64_t task)
{
    const struct sum *s = job;
    int64_t full = round_up(s->channels, WIDTH);
    float *given = think_scratch((size_t)(2 * full) * sizeof(float)), *d_out = given + full;
    if (!given)
        return NO_MEMORY;
    float *d_a = s->parts + task * 2 * s->channels, *d_b = d_a + s->channels;
    memset(d_a, 0, (size_t)(2 * s->channels) * sizeof(float));
    for (int64_t row = task * BLOCK_ROWS; row < last_row(s, task); row++) {
        int64_t at = row * s->channels;
        read_row(d_out, s->d_out, at, s->channels, s->kind);
        read_row(given, s->z, at, s->channels, s->kind);
        for (int64_t i = 0; i < s->channels; i++) {
            d_b[i] += given[i] * d_out[i];
            given[i] = s->b[i] * d_out[i];
        }
        write_row(s->d_z, at, given, s->channels, s->kind);
        if (!s->a)
            continue;
        read_row(given, s->x, at, s->channels, s->kind);
        for (int64_t i = 0; i < s->channels; i++) {
            d_a[i] += given[i] * d_out[i];
            given[i] = s->a[i] * d_out[i];
        }
        write_row(s->d_x, at, given, s->channels, s->kind);
    }
    return 0;
}

KERNEL(scaled_sum_forward)
(const void *x, const void *z, const float *a, const float *b, void *out, int64_t rows, int64_t channels, int64_t kind,
 int64_t threads)
{
    struct sum s = {.x = x, .z = z, .a = a, .b = b, .out = out, .rows = rows, .channels = channels, .kind = kind};
    return think_parallel(sum_task, &s, (rows + BLOCK_ROWS - 1) / BLOCK_ROWS, threads);
}

/* parts: 2 D floats for every 64 rows */
KERNEL(scaled_sum_backward)
(const void *x, const void *z, const float *a, const float *b, const void *d_out, void *d_x, void *d_z, float *d_a,
 float *d_b, float *parts, int64_t rows, int64_t channels, int64_t kind, int64_t threads)
{
    struct sum s = {.x = x, .z = z, .a = a, .b = b, .d_out = d_out, .d_x = d_x, .d_z = d_z, .parts = parts,
                    .rows = rows, .channels = channels, .kind = kind};
    int64_t tasks = (rows + BLOCK_ROWS - 1) / BLOCK_ROWS;
    int result = think_parallel(sum_slope_task, &s, tasks, threads);
    memset(d_b, 0, (size_t)channels * sizeof(float));
    if (d_a)
        memset(d_a, 0, (size_t)channels * sizeof(float));
    for (int64_t task = 0; task < tasks; task++)
        for (int64_t i = 0; i < channels; i++) {
            if (d_a)
                d_a[i] += parts[task * 2 * channels + i];
            d_b[i] += parts[(task * 2 + 1) * channels + i];
        }
    return result;
}
