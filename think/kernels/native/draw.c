/* One token drawn from scores; think/kernels/decode/draw.py tells by what rule. */
#include "common.h"

#include <math.h>

enum { BUCKETS = 2048 };

INLINE vec some(const float *from, int64_t count, float otherwise)
{
    if (count >= WIDTH)
        return load(from);
    vec value = all(otherwise);
    memcpy(&value, from, 4 * (size_t)count);
    return value;
}

/* e^((score - best) / temperature) of every id that may be taken and 0 for the others, in whole vectors; gives their sum,
 * NaN if a score is not finite. bias: 0, or -inf for an id that is never taken. */
static double shares(const float *score, const float *bias, int64_t count, double temperature, float *share)
{
    vec best = all(-__builtin_inff()), odd = {0};
    for (int64_t i = 0; i < count; i += WIDTH) {
        vec value = some(score + i, count - i, 0.0f);
        odd += value - value;
        best = larger(best, value + some(bias + i, count - i, -__builtin_inff()));
    }
    if (total(odd) != 0.0f)
        return __builtin_nan("");
    float top = best[0];
    for (int n = 1; n < WIDTH; n++)
        top = best[n] > top ? best[n] : top;
    double inverse = 1.0 / temperature, sum = 0.0;
    float scale = inverse < 3e38 ? (float)inverse : 3e38f;
    for (int64_t i = 0; i < count; i += WIDTH) {
        vec value = some(score + i, count - i, 0.0f) + some(bias + i, count - i, -__builtin_inff());
        value = vexp((value - top) * scale);
        store(share + i, value);
        sum += total(value);
    }
    return sum;
}

/* Keeps the shares of at least `least`, in order, and their ids; gives how many there are. */
static int64_t candidates(float *share, int64_t count, float least, int32_t *id)
{
    int64_t kept = 0;
    for (int64_t i = 0; i < count; i += WIDTH) {
        vec value = load(share + i);
        if (total(choose(value >= least, all(1.0f), all(0.0f))) > 0.0f) /* most are too small, whole vectors of them */
            for (int64_t n = 0; n < WIDTH; n++)
                if (value[n] >= least)
                    share[kept] = value[n], id[kept++] = (int32_t)(i + n);
    }
    return kept;
}

INLINE uint32_t bits_of(float share)
{
    uint32_t bits;
    memcpy(&bits, &share, 4);
    return bits;
}

/* The bits of the smallest share that is taken when shares are taken from the largest down until they reach `limit`;
 * `equal` becomes how many of that very size are. Shares are positive, so their bits are in their order: the place of
 * the limit is found among the upper bits first, then among the lower ones of those that agree so far. */
static uint32_t smallest_taken(const float *share, int64_t count, double limit, int64_t *equal)
{
    static const int shift[3] = {20, 9, 0};
    double above = 0.0;
    uint32_t prefix = 0;
    for (int level = 0; level < 3; level++) {
        double sums[BUCKETS] = {0};
        uint32_t buckets = level == 2 ? 512 : BUCKETS;
        for (int64_t i = 0; i < count; i++) {
            uint32_t bits = bits_of(share[i]);
            if (bits && (level == 0 || bits >> shift[level - 1] == prefix))
                sums[(bits >> shift[level]) % buckets] += share[i];
        }
        uint32_t bucket = buckets - 1, last = 0;
        int found = 0;
        for (;; bucket--) {
            if (sums[bucket] > 0.0) {
                last = bucket, found = 1;
                if (above + sums[bucket] >= limit)
                    break;
                above += sums[bucket];
            }
            if (bucket == 0) { /* rounding has left the limit just out of reach: take them all */
                bucket = last;
                above -= found ? sums[last] : 0.0;
                break;
            }
        }
        prefix = level == 0 ? bucket : prefix << (level == 1 ? 11 : 9) | bucket;
    }
    float size;
    memcpy(&size, &prefix, 4);
    double missing = ceil((limit - above) / size);
    *equal = missing < 1.0 ? 1 : (int64_t)missing;
    return prefix;
}

/* bias: float [count], 0 or, for an id that is never taken, -inf; id: int64, one: the token, -1 when a score is not finite. */
KERNEL(draw)(const float *score, const float *bias, int64_t count, double temperature, double top_p, double chance,
             int64_t *id)
{
    size_t room = (size_t)round_up(count, WIDTH);
    float *share = think_scratch(8 * room);
    int32_t *ids = (int32_t *)(share + room);
    if (!share)
        return NO_MEMORY;
    double sum = shares(score, bias, count, temperature, share), target = chance * sum, reached = 0.0;
    *id = -1;
    if (sum != sum)
        return 0;
    if (top_p < 1.0) {
        /* all smaller ones together are less than what may be left out */
        float least = (float)((1.0 - top_p) * sum / (double)count);
        count = candidates(share, count, least > 1e-37f ? least : 1e-37f, ids);
        int64_t equal;
        uint32_t smallest = smallest_taken(share, count, top_p * sum, &equal);
        sum = 0.0;
        for (int64_t i = 0; i < count; i++) {
            uint32_t bits = bits_of(share[i]);
            if (bits < smallest || (bits == smallest && equal-- <= 0))
                share[i] = 0.0f;
            sum += share[i];
        }
        target = chance * sum;
        for (int64_t i = 0; i < count && reached <= target; i++)
            if (share[i] > 0.0f)
                *id = ids[i], reached += share[i];
        return 0;
    }
    int64_t start = 0;
    for (double next; start + WIDTH < count && (next = reached + total(load(share + start))) <= target; start += WIDTH)
        reached = next;
    for (int64_t i = start; i < count && (reached <= target || *id < 0); i++)
        if (share[i] > 0.0f)
            *id = i, reached += share[i];
    for (int64_t i = start; *id < 0; i--) /* rounding has left the target just out of reach: the last that may be taken */
        *id = share[i] > 0.0f ? i : -1;
    return 0;
}
