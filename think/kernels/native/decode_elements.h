/* Operations of a decoding program that work element by element or on one row: maps, norms. */
#ifndef THINK_DECODE_ELEMENTS_H
#define THINK_DECODE_ELEMENTS_H

#include "decode.h"

/* ---- elementwise */

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

#endif
