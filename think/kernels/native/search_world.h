/* The world model of a native search: a GRU step, and heads that tell what a state is worth.
 *
 *     r = sigma(W_r h + i_r)    z = sigma(W_z h + i_z)    n = tanh(i_n + r (W_n h + b_n))    h' = (1 - z) n + z h
 *
 * i is a row of `input`, one for each action, with all biases but b_n. Heads are linear: logits of the actions, values,
 * a reward and the logit of an end where there are any. Matrices are packed.
 */
#ifndef THINK_SEARCH_WORLD_H
#define THINK_SEARCH_WORLD_H

#include "packed.h"

#include <math.h>

struct world {
    int64_t width, actions, values, has_reward, has_end, squash;
    float caution;
    const float *recurrent, *input, *bias, *heads, *heads_bias;
};

enum { ROWS = 48 }; /* states that are looked at together: they stay in the second cache beside the weights */

INLINE int64_t outputs_of(const struct world *w) { return w->actions + w->values + w->has_reward + w->has_end; }

/* Packed `weight` [outputs, inputs] times `rows` vectors, at most ROWS. */
static void products(const float *weight, int64_t outputs, int64_t inputs, int64_t rows, const float *const *x,
                     float *const *to)
{
    for (int64_t first = 0; first < outputs; first += BLOCK) {
        int64_t left = outputs - first, block = left < BLOCK ? round_up(left, LANES) : BLOCK;
        for (int64_t row = 0; row < rows;) {
            int64_t streams = streams_of(rows - row);
            float *out[MOST_STREAMS];
            for (int64_t s = 0; s < streams; s++)
                out[s] = to[row + s] + first;
            tiles(streams, weight + first * inputs, block, inputs, x + row, out, left);
            row += streams;
        }
    }
}

/* What the gates of the steps from a state are made of, 3 width floats, whatever the action is. */
static void gates_of(const struct world *w, int64_t rows, const float *const *state, float *const *gates)
{
    products(w->recurrent, 3 * w->width, w->width, rows, state, gates);
}

/* The state after an action; work: 2 width floats. */
static void step(const struct world *w, const float *gates, int64_t action, const float *state, float *after, float *work)
{
    int64_t width = w->width;
    const float *in = w->input + action * 3 * width, *update = work + width;
    for (int64_t j = 0; j < 2 * width; j += WIDTH) {
        int64_t left = 2 * width - j;
        store_some(work + j, vsigmoid(load_some(gates + j, left) + load_some(in + j, left)), left);
    }
    gates += 2 * width, in += 2 * width;
    for (int64_t j = 0; j < width; j += WIDTH) {
        int64_t left = width - j;
        vec inner = load_some(gates + j, left) + load_some(w->bias + j, left);
        vec n = vtanh(load_some(in + j, left) + load_some(work + j, left) * inner);
        store_some(after + j, n + load_some(update + j, left) * (load_some(state + j, left) - n), left);
    }
}

/* What the heads say: logits, `values` of them, a reward, an end. */
static void heads(const struct world *w, int64_t rows, const float *const *state, float *const *out)
{
    int64_t outputs = outputs_of(w);
    products(w->heads, outputs, w->width, rows, state, out);
    for (int64_t row = 0; row < rows; row++)
        for (int64_t j = 0; j < outputs; j += WIDTH)
            store_some(out[row] + j, load_some(out[row] + j, outputs - j) + load_some(w->heads_bias + j, outputs - j),
                       outputs - j);
}

/* The mean of the values less `caution` times their standard deviation (of a sample). */
static float value_of(const struct world *w, const float *heads)
{
    float sum = 0.0f, square = 0.0f;
    for (int64_t k = 0; k < w->values; k++)
        sum += w->squash ? 1.0f / (1.0f + expf(-heads[k])) : heads[k];
    float mean = sum / (float)w->values;
    if (w->caution == 0.0f || w->values == 1)
        return mean;
    for (int64_t k = 0; k < w->values; k++) {
        float value = w->squash ? 1.0f / (1.0f + expf(-heads[k])) : heads[k];
        square += (value - mean) * (value - mean);
    }
    return mean - w->caution * sqrtf(square / (float)(w->values - 1));
}

#endif
