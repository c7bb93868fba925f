/* Packed matrices (think/kernels/decode/pack.py) times some vectors; pieces of vectors.
 *
 * Every output is a sum over inputs in ascending order, in one lane: many vectors give the bytes that each gives alone.
 */
#ifndef THINK_PACKED_H
#define THINK_PACKED_H

#include "common.h"

enum { BLOCK = 64, LANES = 16 };

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

INLINE vec vtanh(vec x) { return 1.0f - 2.0f / (1.0f + vexp(2.0f * x)); }

/* ---- products */

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

/* How many of `left` vectors to take next: as many as fit the registers, or about as many each time. */
INLINE int64_t streams_of(int64_t left)
{
    int64_t parts = (left + MOST_STREAMS - 1) / MOST_STREAMS;
    return (left + parts - 1) / parts;
}

/* One block of outputs of 1 to MOST_STREAMS vectors. */
static void tiles(int64_t streams, const float *weight, int64_t block, int64_t inputs, const float *const *x,
                  float *const *out, int64_t room)
{
    switch (streams) {
    case 1: tiles_1(weight, block, inputs, x, out, room); break;
    case 2: tiles_2(weight, block, inputs, x, out, room); break;
    case 3: tiles_3(weight, block, inputs, x, out, room); break;
#if WIDTH == 16
    case 4: tiles_4(weight, block, inputs, x, out, room); break;
    case 5: tiles_5(weight, block, inputs, x, out, room); break;
    default: tiles_6(weight, block, inputs, x, out, room); break;
#endif
    }
}

#endif
