/* Chunks of time for recurrences with one decay per head and token (ssd, delta_rule).
 *
 * A chunk is at most CHUNK tokens: it ends at the next multiple of CHUNK, or where a document begins. So no chunk has a
 * reset inside, and the state that enters it is either one that forward kept (at a multiple of CHUNK) or `fresh`.
 */
#ifndef THINK_CHUNK_H
#define THINK_CHUNK_H

#include "matrix.h"

enum { CHUNK = 32 };

INLINE int64_t chunk_end(const uint8_t *reset, int64_t begin, int64_t time)
{
    int64_t end = begin / CHUNK * CHUNK + CHUNK;
    end = end < time ? end : time;
    if (reset)
        for (int64_t t = begin + 1; t < end; t++)
            if (reset[t])
                return t;
    return end;
}

INLINE int64_t chunk_begin(const uint8_t *reset, int64_t end)
{
    int64_t begin = end - 1;
    while (begin % CHUNK && !(reset && reset[begin]))
        begin--;
    return begin;
}

/* Decays of one chunk, all products of numbers in [0, 1]: nothing overflows, no digits are lost.
 * between[t][s] = a_{s+1} ... a_t, 1 on the diagonal, 0 above it; since[t] = a_begin ... a_t */
typedef struct {
    float log[CHUNK], since[CHUNK], between[CHUNK][CHUNK];
} decays;

/* From `log`, of `length` tokens. */
static void fill_decays(decays *of, int64_t length)
{
    float step[CHUNK], row[CHUNK] = {0}, product = 1.0f;
    for (int64_t t = length; t < CHUNK; t++)
        of->log[t] = 0.0f;
    for (int64_t t = 0; t < CHUNK; t += WIDTH)
        store(step + t, vexp(load(of->log + t)));
    for (int64_t t = 0; t < length; t++) {
        of->since[t] = product *= step[t];
        scale(row, row, step[t], CHUNK);
        row[t] = 1.0f;
        memcpy(of->between[t], row, sizeof row);
    }
}

/* Gradients of the log decays. spent[t][s], for s < t, is what the loss owes to log between[t][s] (0 above the diagonal,
 * not looked at on it), read[t] to log since[t], sent[s] to the log of the decay from s to the end, and `carried` to that
 * of the whole chunk. Each log decay gets the sum over the spans that hold it; no differences are taken. */
static void decay_gradients(float spent[CHUNK][CHUNK], const float *read, const float *sent, float carried,
                            int64_t length, float *to)
{
    float below[CHUNK] = {0}, place[CHUNK], later = carried;
    memcpy(below, sent, sizeof(float) * length);
    for (int64_t s = 0; s < CHUNK; s++)
        place[s] = (float)s;
    for (int64_t i = length - 1; i >= 0; i--) {
        vec sum = {0};
        for (int64_t s = 0; s < CHUNK; s += WIDTH) {
            vec column = load(below + s) + load(spent[i] + s);
            store(below + s, column);
            sum += choose(load(place + s) < (float)i, column, (vec){0});
        }
        later += read[i];
        to[i] = later + total(sum);
    }
}

/* to = pairs * between, and 0 above the diagonal, where anything may stand. */
static void times_between(float to[CHUNK][CHUNK], float pairs[CHUNK][CHUNK], const decays *of, int64_t length)
{
    for (int64_t t = 0; t < length; t++)
        for (int64_t s = 0; s < CHUNK; s += WIDTH) {
            vec decay = load(of->between[t] + s);
            store(to[t] + s, choose(decay != 0.0f, load(pairs[t] + s) * decay, (vec){0}));
        }
}

/* A state in the layout that tensors have, [rows, columns], and one in the layout of the kernel. */
INLINE void read_state(float *to, int64_t stride, const float *from, int64_t rows, int64_t columns)
{
    if (from)
        read_rows(to, stride, from, 0, columns, rows, columns, FLOAT32);
    else
        memset(to, 0, sizeof(float) * rows * stride);
}

INLINE void write_state(float *to, const float *from, int64_t stride, int64_t rows, int64_t columns)
{
    for (int64_t row = 0; row < rows; row++)
        memcpy(to + row * columns, from + row * stride, sizeof(float) * columns);
}

#endif
