/* What every kernel includes: vectors of the width of its instruction set, exp, bfloat16, names, the thread pool.
 *
 * Each kernel file is compiled once for each instruction set, with WIDTH (floats in a vector) and LEVEL (the end of its
 * exported names) set by the build. Vectors are the compiler's own (GCC and Clang), so that one text serves all.
 */
#ifndef THINK_COMMON_H
#define THINK_COMMON_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#ifndef WIDTH
#define WIDTH 4
#endif
#ifndef LEVEL
#define LEVEL baseline
#endif

#define JOIN_(a, b, c) a##b##c
#define JOIN(a, b, c) JOIN_(a, b, c)
/* KERNEL(rwkv6_forward) defines an exported function that gives an int; think_rwkv6_forward_avx2 when compiled for AVX2. */
#define KERNEL(name) __attribute__((visibility("default"))) int JOIN(think_##name##_, LEVEL, )
#define INLINE static inline __attribute__((always_inline))

/* ---- thread pool (pool.c) */

/* One piece of work; gives 0, or NO_MEMORY. Pieces must not depend on each other, nor write to the same place. */
typedef int (*think_task)(const void *job, int64_t task);
enum { NO_MEMORY = 1 };

/* Run tasks 0 .. tasks-1 on at most `threads` threads, in any order; gives the largest result. Sums over tasks are to be
 * taken afterwards, in the order of the tasks, so that they do not depend on the number of threads. */
int think_parallel(think_task run, const void *job, int64_t tasks, int64_t threads);

/* This thread's scratch memory, 64-byte aligned, not cleared; valid until the next call in the same thread. Ask once a
 * task, for all it needs. NULL when there is no memory. */
void *think_scratch(size_t bytes);

/* ---- vectors of float */

typedef float vec __attribute__((vector_size(4 * WIDTH)));
typedef int32_t ivec __attribute__((vector_size(4 * WIDTH)));
typedef uint32_t uvec __attribute__((vector_size(4 * WIDTH)));
typedef uint16_t hvec __attribute__((vector_size(2 * WIDTH)));
typedef float vec_at __attribute__((vector_size(4 * WIDTH), aligned(4), may_alias));
typedef uint16_t hvec_at __attribute__((vector_size(2 * WIDTH), aligned(2), may_alias));

INLINE vec load(const float *from) { return *(const vec_at *)from; }
INLINE void store(float *to, vec value) { *(vec_at *)to = value; }
INLINE vec all(float value) { return value - (vec){0}; }

INLINE vec choose(ivec where, vec yes, vec no)
{
    return (vec)((where & (ivec)yes) | (~where & (ivec)no));
}

INLINE vec smaller(vec a, vec b) { return choose(a < b, a, b); }
INLINE vec larger(vec a, vec b) { return choose(a > b, a, b); }

/* The lanes i, j, k, l of a and b put side by side. */
#if defined(__clang__) || __GNUC__ >= 12
#define SHUFFLE(a, b, i, j, k, l) __builtin_shufflevector(a, b, i, j, k, l)
#else
#define SHUFFLE(a, b, i, j, k, l) __builtin_shuffle(a, b, (four_places){i, j, k, l})
typedef int32_t four_places __attribute__((vector_size(16)));
#endif
typedef float four __attribute__((vector_size(16)));

/* The sum of the lanes, always in the same order. */
INLINE float total(vec value)
{
    four parts[WIDTH / 4];
    memcpy(parts, &value, sizeof value);
#pragma GCC unroll 2
    for (int step = WIDTH / 8; step > 0; step /= 2)
#pragma GCC unroll 2
        for (int i = 0; i < step; i++)
            parts[i] += parts[i + step];
    four sum = parts[0] + SHUFFLE(parts[0], parts[0], 2, 3, 0, 1);
    return sum[0] + sum[1];
}

/* e^x within 1 unit in the last place or so; 0 below -87 and for -inf, inf above 88.7; NaN stays NaN. */
INLINE vec vexp(vec x)
{
    const float shift = 12582912.0f; /* 1.5 * 2^23: adding it leaves the rounded integer in the low bits */
    vec inside = smaller(larger(x, all(-87.5f)), all(88.8f));
    vec shifted = inside * 1.44269504088896341f + shift;
    vec whole = shifted - shift;
    vec rest = inside - whole * 0.693145751953125f;
    rest = rest - whole * 1.42860682030941723e-6f;
    vec p = all(1.9875691500e-4f);
    p = p * rest + 1.3981999507e-3f;
    p = p * rest + 8.3334519073e-3f;
    p = p * rest + 4.1665795894e-2f;
    p = p * rest + 1.6666665459e-1f;
    p = p * rest + 5.0000001201e-1f;
    p = p * (rest * rest) + rest + 1.0f;
    vec scaled = (vec)((uvec)p + ((uvec)shifted << 23));
    scaled = choose(x < -87.0f, all(0.0f), scaled);
    scaled = choose(x > 88.72283f, all(__builtin_inff()), scaled);
    return choose(x == x, scaled, x);
}

INLINE vec vsigmoid(vec x) { return 1.0f / (1.0f + vexp(-x)); }

/* ---- float32 or bfloat16 in memory, float32 in registers */

enum { FLOAT32 = 0, BFLOAT16 = 1 };

INLINE vec load_bf16(const uint16_t *from)
{
    return (vec)(__builtin_convertvector(*(const hvec_at *)from, uvec) << 16);
}

/* Rounds to nearest, ties to even; a NaN stays one. */
INLINE void store_bf16(uint16_t *to, vec value)
{
    uvec bits = (uvec)value;
    uvec rounded = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
    uvec nan = (uvec)(value != value);
    *(hvec_at *)to = __builtin_convertvector((nan & 0x7fc0) | (~nan & rounded), hvec);
}

INLINE vec load_any(const void *from, int64_t at, int64_t kind)
{
    return kind == BFLOAT16 ? load_bf16((const uint16_t *)from + at) : load((const float *)from + at);
}

INLINE void store_any(void *to, int64_t at, vec value, int64_t kind)
{
    if (kind == BFLOAT16)
        store_bf16((uint16_t *)to + at, value);
    else
        store((float *)to + at, value);
}

INLINE float get_any(const void *from, int64_t at, int64_t kind)
{
    if (kind == FLOAT32)
        return ((const float *)from)[at];
    uint32_t bits = (uint32_t)((const uint16_t *)from)[at] << 16;
    float value;
    memcpy(&value, &bits, 4);
    return value;
}

INLINE void put_any(void *to, int64_t at, float value, int64_t kind)
{
    if (kind == FLOAT32) {
        ((float *)to)[at] = value;
        return;
    }
    uint32_t bits;
    memcpy(&bits, &value, 4);
    ((uint16_t *)to)[at] = value != value ? 0x7fc0 : (uint16_t)((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
}

/* Copy `count` numbers into float32. */
INLINE void read_row(float *to, const void *from, int64_t at, int64_t count, int64_t kind)
{
    int64_t i = 0;
    for (; i + WIDTH <= count; i += WIDTH)
        store(to + i, load_any(from, at + i, kind));
    for (; i < count; i++)
        to[i] = get_any(from, at + i, kind);
}

/* Copy `count` numbers out of float32. */
INLINE void write_row(void *to, int64_t at, const float *from, int64_t count, int64_t kind)
{
    int64_t i = 0;
    for (; i + WIDTH <= count; i += WIDTH)
        store_any(to, at + i, load(from + i), kind);
    for (; i < count; i++)
        put_any(to, at + i, from[i], kind);
}

INLINE int64_t round_up(int64_t size, int64_t multiple) { return (size + multiple - 1) / multiple * multiple; }

#endif
