/* One token of a decoding program for a batch of streams; think/kernels/decode/README.md tells what the operations do.
 *
 * A stream's numbers never meet another's, and every sum over inputs is taken in one order, whatever the batch and the
 * threads are: many streams give the bytes that each gives alone.
 *
 * Threads: with several streams for each, every thread takes some of them through the whole program and none waits.
 * With fewer, one thread goes through the program; the others stand by and take parts of its large operations, when
 * they are awake. It never waits for a thread that has not taken a part.
 */
#include "common.h"

#include <math.h>
#include <stdatomic.h>

enum kind {
    COPY, SCALE, TANH, SIGMOID, SILU, SOFTPLUS, RELU_SQUARE, GELU, CAP, DECAY, POSITIVE, ADD, MULTIPLY, ADDCMUL, LERP, GATE,
    EMBED, NORM, GROUP_NORM, LINEAR, RWKV6, SSD, CONV, ROTARY, TURN, ATTENTION
};
enum space { REGISTER, STATE, RING, WEIGHT, LOGITS };
enum { WORDS = 32, INPUTS = 8, BLOCK = 64, LANES = 16 };

struct operand {
    int64_t space, offset, width;
};
struct op {
    int64_t kind, size[3];
    double constant;
    struct operand out, in[INPUTS];
};
_Static_assert(sizeof(struct op) == 8 * WORDS, "the words of an operation");

struct call {
    const struct op *ops;
    const int64_t *tokens, *rows;
    int64_t *lengths;
    float *memory[5];
    int64_t stride[5];
    int64_t count, batch, registers;
};

/* Where an operand of stream `i` of the call lies. */
INLINE float *at(const struct call *c, const struct operand *o, int64_t i)
{
    int64_t row = o->space == STATE || o->space == RING ? c->rows[i] : i;
    return c->memory[o->space] + row * c->stride[o->space] + o->offset;
}

/* ---- pieces of vectors */

INLINE vec load_some(const float *from, int64_t count)
{
    if (count >= WIDTH)
        return load(from);
    float lanes[WIDTH] = {0};
    memcpy(lanes, from, 4 * (size_t)count);
    return load(lanes);
}

INLINE void store_some(float *to, vec value, int64_t count)
{
    if (count >= WIDTH) {
        store(to, value);
        return;
    }
    float lanes[WIDTH];
    store(lanes, value);
    memcpy(to, lanes, 4 * (size_t)count);
}

/* ---- elementwise */

INLINE vec vtanh(vec x) { return 1.0f - 2.0f / (1.0f + vexp(2.0f * x)); }

/* x Phi(x), with erf by Abramowitz and Stegun 7.1.26: error at most 1.5e-7 */
INLINE vec vgelu(vec x)
{
    vec z = x * 0.70710678118654752f, size = larger(z, -z);
    vec t = 1.0f / (1.0f + 0.3275911f * size);
    vec p = all(1.061405429f);
    p = p * t - 1.453152027f;
    p = p * t + 1.421413741f;
    p = p * t - 0.284496736f;
    p = p * t + 0.254829592f;
    vec tail = 0.5f * p * t * vexp(-size * size); /* 1 - Phi(|x|) */
    return x * choose(x < 0.0f, tail, 1.0f - tail);
}

INLINE vec vsoftplus(vec x)
{
    float lanes[WIDTH];
    store(lanes, x);
    for (int i = 0; i < WIDTH; i++)
        lanes[i] = lanes[i] > 20.0f ? lanes[i] : log1pf(expf(lanes[i]));
    return load(lanes);
}

INLINE vec unary(int64_t kind, vec x, float constant)
{
    switch (kind) {
    case SCALE: return x * constant;
    case TANH: return vtanh(x);
    case SIGMOID: return vsigmoid(x);
    case SILU: return x * vsigmoid(x);
    case SOFTPLUS: return vsoftplus(x);
    case RELU_SQUARE: return choose(x < 0.0f, all(0.0f), x * x);
    case GELU: return vgelu(x);
    case CAP: return constant * vtanh(x / constant);
    case DECAY: return vexp(-vexp(x));
    case POSITIVE: return choose(x < 0.0f, vsigmoid(x), x + 0.5f);
    default: return x;
    }
}

INLINE vec several(int64_t kind, vec a, vec b, vec c)
{
    switch (kind) {
    case ADD: return a + b;
    case MULTIPLY: return a * b;
    case ADDCMUL: return a + b * c;
    case LERP: return a + c * (b - a);
    default: return a * (b * vsigmoid(b)); /* GATE */
    }
}

INLINE void map_one(const struct call *c, const struct op *op, const int64_t kind)
{
    int64_t width = op->out.width;
    for (int64_t i = 0; i < c->batch; i++) {
        const float *x = at(c, &op->in[0], i);
        float *out = at(c, &op->out, i);
        for (int64_t j = 0; j < width; j += WIDTH)
            store_some(out + j, unary(kind, load_some(x + j, width - j), (float)op->constant), width - j);
    }
}

INLINE void map_several(const struct call *c, const struct op *op, const int64_t kind, const int inputs)
{
    int64_t width = op->out.width;
    for (int64_t i = 0; i < c->batch; i++) {
        const float *in[3];
        int one[3];
        for (int n = 0; n < inputs; n++)
            in[n] = at(c, &op->in[n], i), one[n] = op->in[n].width == 1;
        float *out = at(c, &op->out, i);
        for (int64_t j = 0; j < width; j += WIDTH) {
            vec x[3] = {{0}};
            for (int n = 0; n < inputs; n++)
                x[n] = one[n] ? all(*in[n]) : load_some(in[n] + j, width - j);
            store_some(out + j, several(kind, x[0], x[1], x[2]), width - j);
        }
    }
}

/* ---- norms */

static void norm(const struct call *c, const struct op *op)
{
    int64_t width = op->out.width;
    for (int64_t i = 0; i < c->batch; i++) {
        const float *x = at(c, &op->in[0], i), *gain = at(c, &op->in[1], i);
        float *out = at(c, &op->out, i);
        vec square = {0};
        for (int64_t j = 0; j < width; j += WIDTH) {
            vec value = load_some(x + j, width - j);
            square += value * value;
        }
        float scale = 1.0f / sqrtf(total(square) / (float)width + (float)op->constant);
        for (int64_t j = 0; j < width; j += WIDTH)
            store_some(out + j, load_some(x + j, width - j) * scale * load_some(gain + j, width - j), width - j);
    }
}

static void group_norm(const struct call *c, const struct op *op)
{
    int64_t groups = op->size[0], width = op->out.width / groups;
    for (int64_t i = 0; i < c->batch; i++)
        for (int64_t g = 0; g < groups; g++) {
            const float *x = at(c, &op->in[0], i) + g * width, *gain = at(c, &op->in[1], i) + g * width;
            const float *bias = at(c, &op->in[2], i) + g * width;
            float *out = at(c, &op->out, i) + g * width;
            vec sum = {0}, square = {0};
            for (int64_t j = 0; j < width; j += WIDTH)
                sum += load_some(x + j, width - j);
            float mean = total(sum) / (float)width;
            for (int64_t j = 0; j < width; j += WIDTH) {
                vec centred = load_some(x + j, width - j) - mean;
                if (width - j < WIDTH) { /* lanes that are not there have no distance from the mean */
                    float lanes[WIDTH] = {0};
                    store_some(lanes, centred, width - j);
                    centred = load(lanes);
                }
                square += centred * centred;
            }
            float scale = 1.0f / sqrtf(total(square) / (float)width + (float)op->constant);
            for (int64_t j = 0; j < width; j += WIDTH) {
                vec value = (load_some(x + j, width - j) - mean) * scale;
                value = value * load_some(gain + j, width - j) + load_some(bias + j, width - j);
                store_some(out + j, value, width - j);
            }
        }
}

/* ---- packed matrices */

/* VECTORS x WIDTH outputs of STREAMS streams: each a sum over inputs in ascending order, in one lane. */
INLINE void tile(const float *weight, int64_t block, int64_t inputs, const float *const *x, float *const *out,
                 int64_t first, int64_t room, const int STREAMS, const int VECTORS)
{
    vec sum[6][8];
#pragma GCC unroll 8
    for (int s = 0; s < STREAMS; s++)
#pragma GCC unroll 8
        for (int v = 0; v < VECTORS; v++)
            sum[s][v] = (vec){0};
    for (int64_t k = 0; k < inputs; k++, weight += block)
#pragma GCC unroll 8
        for (int s = 0; s < STREAMS; s++)
#pragma GCC unroll 8
            for (int v = 0; v < VECTORS; v++)
                sum[s][v] += x[s][k] * load(weight + v * WIDTH);
#pragma GCC unroll 8
    for (int s = 0; s < STREAMS; s++)
#pragma GCC unroll 8
        for (int v = 0; v < VECTORS; v++)
            if (room > v * WIDTH)
                store_some(out[s] + first + v * WIDTH, sum[s][v], room - v * WIDTH);
}

#if WIDTH == 16
enum { MOST_STREAMS = 6, MOST_VECTORS = 4 };
#else
enum { MOST_STREAMS = 3, MOST_VECTORS = 4 };
#endif

#define TILES(streams)                                                                                                 \
    static void tiles_##streams(const float *weight, int64_t block, int64_t inputs, const float *const *x,             \
                                float *const *out, int64_t room)                                                       \
    {                                                                                                                  \
        int64_t j = 0;                                                                                                 \
        if (streams == 1 && WIDTH < 16)                                                                                \
            for (; j + 8 * WIDTH <= block; j += 8 * WIDTH)                                                             \
                tile(weight + j, block, inputs, x, out, j, room - j, streams, 8);                                      \
        for (; j + 4 * WIDTH <= block; j += 4 * WIDTH)                                                                 \
            tile(weight + j, block, inputs, x, out, j, room - j, streams, 4);                                          \
        for (; j + 2 * WIDTH <= block; j += 2 * WIDTH)                                                                 \
            tile(weight + j, block, inputs, x, out, j, room - j, streams, 2);                                          \
        for (; j < block; j += WIDTH)                                                                                  \
            tile(weight + j, block, inputs, x, out, j, room - j, streams, 1);                                          \
    }

TILES(1)
TILES(2)
TILES(3)
#if WIDTH == 16
TILES(4)
TILES(5)
TILES(6)
#endif

/* Blocks `from` up to `to` of a matrix, for all streams. */
static void linear(const struct call *c, const struct op *op, int64_t from, int64_t to)
{
    int64_t outputs = op->size[0], inputs = op->size[1];
    const float *weight = at(c, &op->in[1], 0);
    for (int64_t b = from; b < to; b++) {
        int64_t first = b * BLOCK, left = outputs - first;
        int64_t block = left < BLOCK ? round_up(left, LANES) : BLOCK;
        const float *here = weight + first * inputs;
        for (int64_t i = 0; i < c->batch;) {
            int64_t parts = (c->batch - i + MOST_STREAMS - 1) / MOST_STREAMS, streams = (c->batch - i + parts - 1) / parts;
            const float *x[MOST_STREAMS];
            float *out[MOST_STREAMS];
            for (int64_t s = 0; s < streams; s++)
                x[s] = at(c, &op->in[0], i + s), out[s] = at(c, &op->out, i + s) + first;
            switch (streams) {
            case 1: tiles_1(here, block, inputs, x, out, left); break;
            case 2: tiles_2(here, block, inputs, x, out, left); break;
            case 3: tiles_3(here, block, inputs, x, out, left); break;
#if WIDTH == 16
            case 4: tiles_4(here, block, inputs, x, out, left); break;
            case 5: tiles_5(here, block, inputs, x, out, left); break;
            default: tiles_6(here, block, inputs, x, out, left); break;
#endif
            }
            i += streams;
        }
    }
}

/* Rows of a matrix [vocabulary, width] that is packed for `linear`. */
static void embed(const struct call *c, const struct op *op)
{
    int64_t outputs = op->size[0], inputs = op->size[1];
    for (int64_t i = 0; i < c->batch; i++) {
        int64_t first = c->tokens[i] / BLOCK * BLOCK, left = outputs - first;
        int64_t block = left < BLOCK ? round_up(left, LANES) : BLOCK;
        const float *from = at(c, &op->in[0], i) + first * inputs + (c->tokens[i] - first);
        float *out = at(c, &op->out, i);
        for (int64_t k = 0; k < inputs; k++)
            out[k] = from[k * block];
    }
}

/* ---- recurrences */

/* Some columns of a matrix [rows, stride]: S <- diag(decay) S + write (scale v)^T; out = read^T S + self v, where S is
 * the one before (rwkv6) or after (ssd) the update. */
struct recurrence {
    const float *read, *decay, *write;
    int64_t rows, stride, each_decays;
    float scale, self;
};

INLINE void columns(const struct recurrence *r, float *matrix, const float *v, float *out, const int AFTER,
                    const int VECTORS, const int64_t count)
{
    vec sum[4], value[4];
#pragma GCC unroll 4
    for (int n = 0; n < VECTORS; n++)
        sum[n] = (vec){0}, value[n] = load_some(v + n * WIDTH, count - n * WIDTH);
    for (int64_t k = 0; k < r->rows; k++, matrix += r->stride)
#pragma GCC unroll 4
        for (int n = 0; n < VECTORS; n++) {
            vec before = load_some(matrix + n * WIDTH, count - n * WIDTH);
            vec after = r->decay[k * r->each_decays] * before + r->write[k] * (r->scale * value[n]);
            sum[n] += r->read[k] * (AFTER ? after : before);
            store_some(matrix + n * WIDTH, after, count - n * WIDTH);
        }
#pragma GCC unroll 4
    for (int n = 0; n < VECTORS; n++)
        store_some(out + n * WIDTH, sum[n] + r->self * value[n], count - n * WIDTH);
}

INLINE void recur(const struct recurrence *r, float *matrix, const float *v, float *out, const int AFTER)
{
    int64_t j = 0, width = r->stride;
    for (; j + 4 * WIDTH <= width; j += 4 * WIDTH)
        columns(r, matrix + j, v + j, out + j, AFTER, 4, 4 * WIDTH);
    for (; j + WIDTH <= width; j += WIDTH)
        columns(r, matrix + j, v + j, out + j, AFTER, 1, WIDTH);
    if (j < width)
        columns(r, matrix + j, v + j, out + j, AFTER, 1, width - j);
}

static void rwkv6(const struct call *c, const struct op *op, int64_t i, int64_t head)
{
    int64_t keys = op->size[1], values = op->size[2];
    const float *read = at(c, &op->in[0], i) + head * keys, *write = at(c, &op->in[1], i) + head * keys;
    const float *bonus = at(c, &op->in[4], i) + head * keys;
    vec self = {0};
    for (int64_t k = 0; k < keys; k += WIDTH)
        self += load_some(read + k, keys - k) * load_some(bonus + k, keys - k) * load_some(write + k, keys - k);
    struct recurrence r = {read, at(c, &op->in[3], i) + head * keys, write, keys, values, 1, 1.0f, total(self)};
    recur(&r, at(c, &op->in[5], i) + head * keys * values, at(c, &op->in[2], i) + head * values,
          at(c, &op->out, i) + head * values, 0);
}

static void ssd(const struct call *c, const struct op *op, int64_t i, int64_t head)
{
    int64_t width = op->size[1], states = op->size[2];
    float step = at(c, &op->in[1], i)[head], decay = expf(step * at(c, &op->in[2], i)[head]);
    struct recurrence r = {at(c, &op->in[4], i), &decay, at(c, &op->in[3], i), states, width, 0, step,
                           at(c, &op->in[5], i)[head]};
    recur(&r, at(c, &op->in[6], i) + head * states * width, at(c, &op->in[0], i) + head * width,
          at(c, &op->out, i) + head * width, 1);
}

static void conv(const struct call *c, const struct op *op)
{
    int64_t channels = op->size[0], taps = op->size[1];
    for (int64_t i = 0; i < c->batch; i++) {
        const float *x = at(c, &op->in[0], i), *weight = at(c, &op->in[1], i), *bias = at(c, &op->in[2], i);
        float *window = at(c, &op->in[3], i), *out = at(c, &op->out, i);
        for (int64_t j = 0; j < channels; j += WIDTH) {
            int64_t left = channels - j;
            vec now = load_some(x + j, left), sum = load_some(bias + j, left);
            for (int64_t t = 0; t < taps - 1; t++) {
                vec seen = load_some(window + t * channels + j, left);
                sum += seen * load_some(weight + t * channels + j, left);
                if (t)
                    store_some(window + (t - 1) * channels + j, seen, left);
            }
            sum += now * load_some(weight + (taps - 1) * channels + j, left);
            if (taps > 1)
                store_some(window + (taps - 2) * channels + j, now, left);
            store_some(out + j, sum, left);
        }
    }
}

/* ---- attention */

static void rotary(const struct call *c, const struct op *op)
{
    int64_t half = op->size[0];
    for (int64_t i = 0; i < c->batch; i++) {
        const float *high = at(c, &op->in[0], i), *low = high + half;
        float *out = at(c, &op->out, i);
        for (int64_t k = 0; k < half; k++) {
            double angle = (double)c->lengths[c->rows[i]] * ((double)high[k] + (double)low[k]);
            out[k] = (float)cos(angle), out[half + k] = (float)sin(angle);
        }
    }
}

static void turn(const struct call *c, const struct op *op)
{
    int64_t heads = op->size[0], half = op->size[1] / 2;
    for (int64_t i = 0; i < c->batch; i++) {
        const float *cosine = at(c, &op->in[1], i), *sine = cosine + half;
        for (int64_t h = 0; h < heads; h++) {
            const float *x = at(c, &op->in[0], i) + 2 * h * half;
            float *out = at(c, &op->out, i) + 2 * h * half;
            for (int64_t k = 0; k < half; k += WIDTH) {
                int64_t left = half - k;
                vec l = load_some(x + k, left), r = load_some(x + half + k, left);
                vec cs = load_some(cosine + k, left), sn = load_some(sine + k, left);
                store_some(out + k, l * cs - r * sn, left);
                store_some(out + half + k, r * cs + l * sn, left);
            }
        }
    }
}

static void attention(const struct call *c, const struct op *op, int64_t i, int64_t head)
{
    int64_t width = op->size[1], context = op->size[2], places = round_up(context, LANES);
    int64_t before = c->lengths[c->rows[i]], place = before % context, seen = before < context ? before + 1 : context;
    const float *query = at(c, &op->in[0], i) + head * width, *key = at(c, &op->in[1], i) + head * width;
    const float *value = at(c, &op->in[2], i) + head * width;
    float *keys = at(c, &op->in[3], i) + head * width * places, *values = at(c, &op->in[4], i) + head * context * width;
    float *scores = at(c, &op->in[5], i) + head * places, *out = at(c, &op->out, i) + head * width;
    for (int64_t k = 0; k < width; k++)
        keys[k * places + place] = key[k];
    memcpy(values + place * width, value, 4 * (size_t)width);
    vec most = all(-__builtin_inff());
    for (int64_t j = 0; j < seen; j += WIDTH) {
        vec sum = {0};
        for (int64_t k = 0; k < width; k++)
            sum += query[k] * load(keys + k * places + j);
        sum *= (float)op->constant;
        store(scores + j, sum);
        if (seen - j < WIDTH) {
            for (int64_t n = seen; n < j + WIDTH; n++)
                scores[n] = -__builtin_inff();
            sum = load(scores + j);
        }
        most = choose(most > sum, most, sum); /* a NaN stays */
    }
    float lanes[WIDTH], top = -__builtin_inff();
    store(lanes, most);
    for (int n = 0; n < WIDTH; n++)
        top = lanes[n] > top || lanes[n] != lanes[n] ? lanes[n] : top;
    vec sum = {0};
    for (int64_t j = 0; j < seen; j += WIDTH) {
        vec share = vexp(load(scores + j) - top);
        store(scores + j, share);
        sum += share;
    }
    float scale = 1.0f / total(sum);
    for (int64_t k = 0; k < width; k += WIDTH) {
        int64_t left = width - k;
        vec mixed = {0};
        for (int64_t n = 0; n < seen; n++)
            mixed += scores[n] * load_some(values + n * width + k, left);
        store_some(out + k, mixed * scale, left);
    }
}

/* ---- the program */

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
    int64_t tasks = whole[1].batch, from = whole->batch * task / tasks, to = whole->batch * (task + 1) / tasks;
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

/* Inputs: code int64 [count, WORDS], tokens_and_rows int64 [2, batch], lengths int64 [streams], state, ring [streams, .],
 * weights, logits [batch, vocabulary]. */
EXPORT(decode)
int JOIN(JOIN_(think_, decode, _), LEVEL, )(const int64_t *code, int64_t count, int64_t batch, const int64_t *tokens_and_rows,
                                            int64_t *lengths, int64_t registers, float *state, int64_t state_width,
                                            float *ring, int64_t ring_width, float *weights, float *logits,
                                            int64_t vocabulary, int64_t threads);
