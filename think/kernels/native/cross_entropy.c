/* Cross-entropy of rows of logits, and its gradient in their place. ../cross_entropy/_chunks.py makes the logits.
 *
 *     loss = log sum_v e^z_v - z_target            entropy = log sum_v e^z_v - sum_v p_v z_v
 *     dz_v = weight (p_v - [v = target] + bonus p_v (log p_v + entropy))        z = cap tanh(given / cap)
 *
 * A task is BLOCK rows. A row is read three times - for its largest score, its sums, its gradient - from the first-level
 * cache, or the second where the vocabulary is large. Vectors run over the vocabulary.
 *
 * R rows   V vocabulary
 */
#include "common.h"

enum { BLOCK = 4, SUMS = 2 };

struct rows {
    void *logits;                /* [R, V], of `kind`; becomes the gradient when that is wanted */
    const int64_t *targets;      /* [R] */
    const float *weights;        /* [R] */
    float *losses, *entropies;   /* [R] */
    int64_t rows, vocabulary, wanted, kind;
    float bonus, cap;            /* cap 0: none */
};

/* Within 2 units in the last place; the series where 1 - 2 / (e^2x + 1) would lose the small digits. */
INLINE vec vtanh(vec x)
{
    vec far = 1.0f - 2.0f / (vexp(x + x) + 1.0f), square = x * x;
    vec near = x * (1.0f + square * (-1.0f / 3 + square * (2.0f / 15 + square * (-17.0f / 315 + square * (62.0f / 2835)))));
    return choose(square < all(0.04f), near, far);
}

/* The scores of a row in float32, behind them -inf up to a full vector. */
static const float *scores_of(float *scratch, const struct rows *a, int64_t row)
{
    int64_t wide = a->vocabulary, at = row * wide, full = round_up(wide, WIDTH);
    if (a->kind == FLOAT32 && a->cap == 0.0f && full == wide)
        return (const float *)a->logits + at;
    read_row(scratch, a->logits, at, wide, a->kind);
    for (int64_t v = wide; v < full; v++)
        scratch[v] = -__builtin_inff();
    for (int64_t v = 0; a->cap != 0.0f && v < wide; v += WIDTH)
        store(scratch + v, a->cap * vtanh(load(scratch + v) / a->cap));
    for (int64_t v = wide; v < full; v++)
        scratch[v] = -__builtin_inff();
    return scratch;
}

INLINE void gradient(const struct rows *a, int64_t row, const float *scores, const float *powers, float inverse,
                     float log_sum, float entropy)
{
    int64_t wide = a->vocabulary, at = row * wide, target = a->targets[row], v = 0;
    float weight = a->weights[row], factor = weight * inverse, squared = a->cap != 0.0f ? 1.0f / (a->cap * a->cap) : 0.0f;
    float score = scores[target], power = powers[target];
    float slope_at_target = factor * power * (1.0f + a->bonus * (score - log_sum + entropy)) - weight;
    for (; v < wide; v += WIDTH) {
        vec slope = load(powers + v) * factor;
        if (a->bonus != 0.0f || squared != 0.0f) {
            vec z = load(scores + v);
            /* what was too small for a power has no slope, however far below it stands */
            slope = choose(slope == 0.0f, slope, slope * (1.0f + a->bonus * (z - log_sum + entropy)));
            slope = slope * (1.0f - z * z * squared);
        }
        if (v + WIDTH <= wide)
            store_any(a->logits, at + v, slope, a->kind);
        else
            for (int64_t i = 0; v + i < wide; i++)
                put_any(a->logits, at + v + i, slope[i], a->kind);
    }
    put_any(a->logits, at + target, slope_at_target * (1.0f - score * score * squared), a->kind);
}

static int rows_task(const void *job, int64_t task)
{
    const struct rows *a = job;
    int64_t full = round_up(a->vocabulary, WIDTH), end = (task + 1) * BLOCK;
    float *scratch = think_scratch((size_t)(2 * full) * sizeof(float));
    if (!scratch)
        return NO_MEMORY;
    float *powers = scratch + full;
    for (int64_t row = task * BLOCK; row < (end < a->rows ? end : a->rows); row++) {
        const float *scores = scores_of(scratch, a, row);
        vec most = load(scores);
        for (int64_t v = WIDTH; v < full; v += WIDTH)
            most = larger(most, load(scores + v));
        float largest = most[0];
        for (int i = 1; i < WIDTH; i++)
            largest = most[i] > largest ? most[i] : largest;
        /* sums in pieces, so that a large vocabulary loses no digits */
        vec sum = all(0.0f), product = all(0.0f);
        for (int64_t begin = 0; begin < full; begin += 64 * WIDTH) {
            int64_t stop = begin + 64 * WIDTH < full ? begin + 64 * WIDTH : full;
            vec part = all(0.0f), moment = all(0.0f);
            for (int64_t v = begin; v < stop; v += WIDTH) {
                vec below = load(scores + v) - largest, power = vexp(below);
                store(powers + v, power);
                part += power;
                moment += power * choose(power == 0.0f, power, below);
            }
            sum += part;
            product += moment;
        }
        float whole = total(sum), logarithm = __builtin_logf(whole), log_sum = largest + logarithm;
        float entropy = logarithm - total(product) / whole;
        a->losses[row] = logarithm - (scores[a->targets[row]] - largest);
        a->entropies[row] = entropy;
        if (a->wanted)
            gradient(a, row, scores, powers, 1.0f / whole, log_sum, entropy);
    }
    return 0;
}

KERNEL(cross_entropy_rows)
(void *logits, const int64_t *targets, const float *weights, float *losses, float *entropies, int64_t rows,
 int64_t vocabulary, float bonus, float cap, int64_t wanted, int64_t kind, int64_t threads)
{
    struct rows a = {logits, targets, weights, losses, entropies, rows, vocabulary, wanted, kind, bonus, cap};
    return think_parallel(rows_task, &a, (rows + BLOCK - 1) / BLOCK, threads);
}
