/* Operations of a decoding program that carry something from token to token: recurrences, convolution, attention. */
#ifndef THINK_DECODE_STATE_H
#define THINK_DECODE_STATE_H

#include "decode.h"

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
    if (op->constant != 0) /* decays in (-1, 1), from retentions that keep 2^-20 from 0 and 1 */
        decay = 2 * fminf(fmaxf(decay, 0x1p-20f), 1 - 0x1p-20f) - 1;
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

#endif
