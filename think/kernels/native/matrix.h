/* Products of matrices that fit the caches of one core, for kernels that work in chunks of time.
 *
 * Rows of matrices stand `stride` floats apart; strides and numbers of columns are multiples of WIDTH, so that no row
 * has a rest: what is narrower is padded with zeros. The left factor of a product may be read in any direction.
 */
#ifndef THINK_MATRIX_H
#define THINK_MATRIX_H

#include "common.h"

enum { TILE = 4 }; /* rows in registers at a time, over two vectors: eight sums hide the latency of a product */

/* How a product ends, and which part of it there is. LEFT_LOWER: entries right of the diagonal of `a` are zero;
 * LEFT_UPPER: entries left of it are; OUT_LOWER: what is right of the diagonal of `c` is not asked for. */
enum ending { SET, ADD, SUBTRACT };
enum part { WHOLE, LEFT_LOWER, LEFT_UPPER, OUT_LOWER };

INLINE void tile(const int rows, const int vectors, int64_t begin, int64_t end, const float *a, int64_t a_row,
                 int64_t a_column, const float *b, int64_t b_stride, float *c, int64_t c_stride, enum ending ending)
{
    vec sum[TILE][2];
#pragma GCC unroll 4
    for (int i = 0; i < rows; i++)
#pragma GCC unroll 2
        for (int j = 0; j < vectors; j++)
            sum[i][j] = (vec){0};
    for (int64_t k = begin; k < end; k++) {
        vec right[2];
#pragma GCC unroll 2
        for (int j = 0; j < vectors; j++)
            right[j] = load(b + k * b_stride + j * WIDTH);
#pragma GCC unroll 4
        for (int i = 0; i < rows; i++) {
            vec left = all(a[i * a_row + k * a_column]);
#pragma GCC unroll 2
            for (int j = 0; j < vectors; j++)
                sum[i][j] += left * right[j];
        }
    }
#pragma GCC unroll 4
    for (int i = 0; i < rows; i++)
#pragma GCC unroll 2
        for (int j = 0; j < vectors; j++) {
            float *at = c + i * c_stride + j * WIDTH;
            if (ending == SET)
                store(at, sum[i][j]);
            else if (ending == ADD)
                store(at, load(at) + sum[i][j]);
            else
                store(at, load(at) - sum[i][j]);
        }
}

INLINE void tiles(const int rows, int64_t columns, int64_t begin, int64_t end, const float *a, int64_t a_row,
                  int64_t a_column, const float *b, int64_t b_stride, float *c, int64_t c_stride, enum ending ending)
{
    int64_t n = 0;
    for (; n + 2 * WIDTH <= columns; n += 2 * WIDTH)
        tile(rows, 2, begin, end, a, a_row, a_column, b + n, b_stride, c + n, c_stride, ending);
    if (n < columns)
        tile(rows, 1, begin, end, a, a_row, a_column, b + n, b_stride, c + n, c_stride, ending);
}

/* c [rows, columns] = (or += or -=) a [rows, depth] b [depth, columns], with a[m][k] at a + m * a_row + k * a_column. */
static __attribute__((noinline)) void multiply(int64_t rows, int64_t columns, int64_t depth, const float *a,
                                               int64_t a_row, int64_t a_column, const float *b, int64_t b_stride,
                                               float *c, int64_t c_stride, enum ending ending, enum part part)
{
    for (int64_t m = 0; m < rows; m += TILE) {
        int64_t left = rows - m < TILE ? rows - m : TILE, wide = columns, begin = 0, end = depth;
        if (part == LEFT_LOWER)
            end = m + left < depth ? m + left : depth;
        else if (part == LEFT_UPPER)
            begin = m;
        else if (part == OUT_LOWER)
            wide = round_up(m + left, WIDTH) < columns ? round_up(m + left, WIDTH) : columns;
        const float *from = a + m * a_row;
        float *to = c + m * c_stride;
        if (left == 4)
            tiles(4, wide, begin, end, from, a_row, a_column, b, b_stride, to, c_stride, ending);
        else if (left == 3)
            tiles(3, wide, begin, end, from, a_row, a_column, b, b_stride, to, c_stride, ending);
        else if (left == 2)
            tiles(2, wide, begin, end, from, a_row, a_column, b, b_stride, to, c_stride, ending);
        else
            tiles(1, wide, begin, end, from, a_row, a_column, b, b_stride, to, c_stride, ending);
    }
}

typedef float four __attribute__((vector_size(16)));
typedef float four_at __attribute__((vector_size(16), aligned(4), may_alias));

#if defined(__clang__) || __GNUC__ >= 12
#define SHUFFLE(a, b, i, j, k, l) __builtin_shufflevector(a, b, i, j, k, l)
#else
typedef int32_t four_places __attribute__((vector_size(16)));
#define SHUFFLE(a, b, i, j, k, l) __builtin_shuffle(a, b, (four_places){i, j, k, l})
#endif

/* to [columns, rows] = from [rows, columns]. */
static void transpose(int64_t rows, int64_t columns, const float *from, int64_t from_stride, float *to,
                      int64_t to_stride)
{
    int64_t i = 0;
    for (; i + 4 <= rows; i += 4) {
        int64_t j = 0;
        for (; j + 4 <= columns; j += 4) {
            const float *at = from + i * from_stride + j;
            four r0 = *(const four_at *)at, r1 = *(const four_at *)(at + from_stride);
            four r2 = *(const four_at *)(at + 2 * from_stride), r3 = *(const four_at *)(at + 3 * from_stride);
            four low01 = SHUFFLE(r0, r1, 0, 4, 1, 5), high01 = SHUFFLE(r0, r1, 2, 6, 3, 7);
            four low23 = SHUFFLE(r2, r3, 0, 4, 1, 5), high23 = SHUFFLE(r2, r3, 2, 6, 3, 7);
            float *out = to + j * to_stride + i;
            *(four_at *)out = SHUFFLE(low01, low23, 0, 1, 4, 5);
            *(four_at *)(out + to_stride) = SHUFFLE(low01, low23, 2, 3, 6, 7);
            *(four_at *)(out + 2 * to_stride) = SHUFFLE(high01, high23, 0, 1, 4, 5);
            *(four_at *)(out + 3 * to_stride) = SHUFFLE(high01, high23, 2, 3, 6, 7);
        }
        for (; j < columns; j++)
            for (int64_t k = i; k < i + 4; k++)
                to[j * to_stride + k] = from[k * from_stride + j];
    }
    for (; i < rows; i++)
        for (int64_t j = 0; j < columns; j++)
            to[j * to_stride + i] = from[i * from_stride + j];
}

/* row *= factor, over `columns` floats, a multiple of WIDTH; so are those below. */
INLINE void scale(float *row, float factor, int64_t columns)
{
    for (int64_t i = 0; i < columns; i += WIDTH)
        store(row + i, load(row + i) * factor);
}

INLINE void scaled(float *to, const float *from, float factor, int64_t columns)
{
    for (int64_t i = 0; i < columns; i += WIDTH)
        store(to + i, load(from + i) * factor);
}

INLINE void add_scaled(float *to, const float *from, float factor, int64_t columns)
{
    for (int64_t i = 0; i < columns; i += WIDTH)
        store(to + i, load(to + i) + load(from + i) * factor);
}

INLINE float dot(const float *a, const float *b, int64_t columns)
{
    vec sum = {0};
    for (int64_t i = 0; i < columns; i += WIDTH)
        sum += load(a + i) * load(b + i);
    return total(sum);
}

/* Read `rows` rows of `count` numbers, `step` numbers apart, padded with zeros to `stride`. */
INLINE void read_rows(float *to, int64_t stride, const void *from, int64_t at, int64_t step, int64_t rows, int64_t count,
                      int64_t kind)
{
    for (int64_t row = 0; row < rows; row++) {
        read_row(to + row * stride, from, at + row * step, count, kind);
        for (int64_t i = count; i < stride; i++)
            to[row * stride + i] = 0.0f;
    }
}

#endif
