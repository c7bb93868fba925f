/* Packed matrices (think/kernels/decode/pack.py) times the vectors of all streams, and the embedding. */
#ifndef THINK_DECODE_MATRIX_H
#define THINK_DECODE_MATRIX_H

#include "decode.h"

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
            int64_t streams = streams_of(c->batch - i);
            const float *x[MOST_STREAMS];
            float *out[MOST_STREAMS];
            for (int64_t s = 0; s < streams; s++)
                x[s] = at(c, &op->in[0], i + s), out[s] = at(c, &op->out, i + s) + first;
            tiles(streams, here, block, inputs, x, out, left);
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
