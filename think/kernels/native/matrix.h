/* Products of matrices that fit the caches of one core, for kernels that work in chunks of time.
 *
 * Rows of matrices stand `stride` floats apart; strides and numbers of columns are multiples of WIDTH, so that no row
 * has a rest: what is narrower is padded with zeros. The left factor of a product may be read in any direction.
 */
#ifndef THINK_MATRIX_H
#define THINK_MATRIX_H

#include "common.h"

enum { TILE = 4 }; /* rows in registers at a time, over two vectors: eight sums hide the latency of a product */

/* Which part of a product there is. LEFT_LOWER: entries of `a` right of the diagonal are zero; LEFT_UPPER: entries left
 * of it are; OUT_LOWER: what is right of the diagonal of `c` is not asked for, and anything may be left there. */
enum part { WHOLE, LEFT_LOWER, LEFT_UPPER, OUT_LOWER };

typedef struct {
    const float *a; /* a[m][k] at a + m * a_row + k * a_column */
    int64_t a_row, a_column;
    const float *b;
    int64_t b_stride;
    float *c;
    int64_t c_stride;
    float keep;           /* c = keep c + a b; 0 does not read c */
    const float *factors; /* of the rows of a b; NULL for ones */
} product;

INLINE void tile(const int rows, const int vectors, int64_t begin, int64_t end, const product *of, int64_t m, int64_t n)
{
    vec sum[TILE][2];
    const float *a = of->a + m * of->a_row + begin * of->a_column, *b = of->b + begin * of->b_stride + n;
    int64_t a_row = of->a_row, a_column = of->a_column, b_stride = of->b_stride;
#pragma GCC unroll 4
    for (int i = 0; i < rows; i++)
#pragma GCC unroll 2
        for (int j = 0; j < vectors; j++)
            sum[i][j] = (vec){0};
    for (int64_t k = begin; k < end; k++, a += a_column, b += b_stride) {
        vec right[2];
#pragma GCC unroll 2
        for (int j = 0; j < vectors; j++)
            right[j] = load(b + j * WIDTH);
#pragma GCC unroll 4
        for (int i = 0; i < rows; i++) {
            vec left = all(a[i * a_row]);
#pragma GCC unroll 2
            for (int j = 0; j < vectors; j++)
                sum[i][j] += left * right[j];
        }
    }
#pragma GCC unroll 4
    for (int i = 0; i < rows; i++) {
        float factor = of->factors ? of->factors[m + i] : 1.0f;
#pragma GCC unroll 2
        for (int j = 0; j < vectors; j++) {
            float *at = of->c + (m + i) * of->c_stride + n + j * WIDTH;
            vec value = sum[i][j] * factor;
            store(at, of->keep == 0.0f ? value : load(at) * of->keep + value);
        }
    }
}

INLINE void tiles(const int rows, int64_t columns, int64_t begin, int64_t end, const product *of, int64_t m)
{
    int64_t n = 0;
    for (; n + 2 * WIDTH <= columns; n += 2 * WIDTH)
        tile(rows, 2, begin, end, of, m, n);
    if (n < columns)
        tile(rows, 1, begin, end, of, m, n);
}

/* c [rows, columns] from a [rows, depth] and b [depth, columns]. */
static __attribute__((noinline)) void combine(int64_t rows, int64_t columns, int64_t depth, enum part part, product of)
{
    for (int64_t m = 0; m < rows; m += TILE) {
        int64_t left = rows - m < TILE ? rows - m : TILE, wide = columns, begin = 0, end = depth;
        if (part == LEFT_LOWER)
            end = m + left < depth ? m + left : depth;
        else if (part == LEFT_UPPER)
            begin = m;
        else if (part == OUT_LOWER)
            wide = round_up(m + left, WIDTH) < columns ? round_up(m + left, WIDTH) : columns;
        if (left == 4)
            tiles(4, wide, begin, end, &of, m);
        else if (left == 3)
            tiles(3, wide, begin, end, &of, m);
        else if (left == 2)
            tiles(2, wide, begin, end, &of, m);
        else
            tiles(1, wide, begin, end, &of, m);
    }
}

enum ending { SET, ADD };

/* c = a b, or c += a b. */
INLINE void multiply(int64_t rows, int64_t columns, int64_t depth, const float *a, int64_t a_row, int64_t a_column,
                     const float *b, int64_t b_stride, float *c, int64_t c_stride, enum ending ending, enum part part)
{
    product of = {.a = a, .a_row = a_row, .a_column = a_column, .b = b, .b_stride = b_stride, .c = c,
                  .c_stride = c_stride, .keep = ending == ADD ? 1.0f : 0.0f};
    combine(rows, columns, depth, part, of);
}

typedef float four_at __attribute__((vector_size(16), aligned(4), may_alias));

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

/* to = factor from, over `columns` floats, a multiple of WIDTH; so are those below. */
INLINE void scale(float *to, const float *from, float factor, int64_t columns)
{
    for (int64_t i = 0; i < columns; i += WIDTH)
        store(to + i, load(from + i) * factor);
}

INLINE float dot(const float *a, const float *b, int64_t columns)
{
    vec sum[4] = {{0}, {0}, {0}, {0}};
    int64_t i = 0;
    for (; i + 4 * WIDTH <= columns; i += 4 * WIDTH)
        for (int j = 0; j < 4; j++)
            sum[j] += load(a + i + j * WIDTH) * load(b + i + j * WIDTH);
    for (; i < columns; i += WIDTH)
        sum[0] += load(a + i) * load(b + i);
    return total((sum[0] + sum[1]) + (sum[2] + sum[3]));
}

/* Ask for `rows` rows of `count` numbers ahead of time: they lie far apart, and no processor guesses that. */
INLINE void expect_rows(const void *from, int64_t at, int64_t step, int64_t rows, int64_t count, int64_t kind)
{
    int64_t size = kind == BFLOAT16 ? 2 : 4;
    for (int64_t row = 0; row < rows; row++)
        for (int64_t i = 0; i < count * size; i += 64)
            __builtin_prefetch((const char *)from + (at + row * step) * size + i, 0, 2);
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
