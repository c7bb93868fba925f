/* Packed matrices (think/kernels/decode/pack.py) times the vectors of all streams, and the embedding. */
#ifndef THINK_DECODE_MATRIX_H
#define THINK_DECODE_MATRIX_H

#include "decode.h"

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

#endif
