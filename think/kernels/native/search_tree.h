/* A search tree in C, and what is known of the actions of a node; think/core/planning/reference.py has the equations.
 *
 * Arrays of actions have `stride` places a node, a multiple of the widest vector; where there is no action, the logit is
 * -inf and the rest 0. `prior` is kept beside what core/planning/tree.py has: the softmax of the logits.
 */
#ifndef THINK_SEARCH_TREE_H
#define THINK_SEARCH_TREE_H

#include "common.h"

#include <math.h>

#define INFINITE __builtin_inff()
static const float LEAST = 1e-8f, LEAST_PRIOR = 1e-30f; /* as in reference.py */
enum { NONE = -1 };

struct tree {
    int64_t *parent, *action, *child, *used;
    int32_t *visits, *taken;
    float *total, *evaluated, *reward, *logits, *q, *states, *prior;
    uint8_t *terminal;
    int64_t room, stride, width;
};

struct rule {
    int64_t is_gumbel;
    float visit_offset, value_scale, exploration, growth, discount;
    int64_t depth; /* NONE: no limit */
};

INLINE vec load_counts(const int32_t *from)
{
    ivec counts;
    memcpy(&counts, from, sizeof counts);
    return __builtin_convertvector(counts, vec);
}

INLINE float largest(vec value)
{
    float lanes[WIDTH], most = -INFINITE;
    store(lanes, value);
    for (int i = 0; i < WIDTH; i++)
        most = lanes[i] > most ? lanes[i] : most;
    return most;
}

/* The first place of the largest of `count` numbers, whole vectors of them; 0 when none is larger than -inf. */
static int64_t first_largest(const float *from, int64_t count)
{
    vec top = all(-INFINITE);
    for (int64_t i = 0; i < count; i += WIDTH)
        top = larger(top, load(from + i));
    float most = largest(top);
    for (int64_t i = 0; i < count && most > -INFINITE; i++)
        if (from[i] == most)
            return i;
    return 0;
}

/* to = softmax(from); places of -inf get 0. At least one is finite. */
static void softmax(const float *from, float *to, int64_t count)
{
    vec top = all(-INFINITE), sum = {0};
    for (int64_t i = 0; i < count; i += WIDTH)
        top = larger(top, load(from + i));
    float most = largest(top);
    for (int64_t i = 0; i < count; i += WIDTH) {
        vec weight = vexp(load(from + i) - most);
        sum += weight;
        store(to + i, weight);
    }
    float scale = 1.0f / total(sum);
    for (int64_t i = 0; i < count; i += WIDTH)
        store(to + i, load(to + i) * scale);
}

/* to = logits + sigma(completed Q), -inf where an action is not legal; gives how often actions were taken. */
static float improved(const struct tree *t, const struct rule *rule, int64_t node, const float *logits, float *to)
{
    int64_t stride = t->stride;
    const float *q = t->q + node * stride, *prior = t->prior + node * stride, *own = t->logits + node * stride;
    const int32_t *taken = t->taken + node * stride;
    vec counts = {0}, most_taken = {0}, weights = {0}, weighed = {0};
    for (int64_t i = 0; i < stride; i += WIDTH) {
        vec count = load_counts(taken + i);
        vec weight = choose(count > 0.0f, larger(load(prior + i), all(LEAST_PRIOR)), all(0.0f));
        counts += count;
        most_taken = larger(most_taken, count);
        weights += weight;
        weighed += weight * load(q + i);
    }
    float n = total(counts), mixed = t->evaluated[node];
    if (n > 0.0f)
        mixed = (mixed + n * (total(weighed) / total(weights))) / (1.0f + n);
    vec least = all(INFINITE), most = all(-INFINITE);
    for (int64_t i = 0; i < stride; i += WIDTH) {
        ivec legal = load(own + i) > -INFINITE;
        vec completed = choose(load_counts(taken + i) > 0.0f, load(q + i), all(mixed));
        least = smaller(least, choose(legal, completed, all(INFINITE)));
        most = larger(most, choose(legal, completed, all(-INFINITE)));
        store(to + i, completed);
    }
    float low = -largest(-least), range = largest(most) - low;
    float factor = (rule->visit_offset + largest(most_taken)) * rule->value_scale / (range > LEAST ? range : LEAST);
    for (int64_t i = 0; i < stride; i += WIDTH) {
        ivec legal = load(own + i) > -INFINITE;
        vec score = load(logits + i) + factor * (load(to + i) - low);
        store(to + i, choose(legal, score, all(-INFINITE)));
    }
    return n;
}

/* The action whose visits fall furthest behind the improved policy. */
static int64_t improved_choice(const struct tree *t, const struct rule *rule, int64_t node, float *work)
{
    const int32_t *taken = t->taken + node * t->stride;
    const float *logits = t->logits + node * t->stride;
    float whole = 1.0f / (1.0f + improved(t, rule, node, logits, work));
    softmax(work, work, t->stride);
    for (int64_t i = 0; i < t->stride; i += WIDTH) {
        vec behind = load(work + i) - load_counts(taken + i) * whole;
        store(work + i, choose(load(logits + i) > -INFINITE, behind, all(-INFINITE)));
    }
    return first_largest(work, t->stride);
}

/* The action of the highest upper bound. */
static int64_t bound_choice(const struct tree *t, const struct rule *rule, int64_t node, float *work)
{
    const float *q = t->q + node * t->stride, *prior = t->prior + node * t->stride, *logits = t->logits + node * t->stride;
    const int32_t *taken = t->taken + node * t->stride;
    float visits = (float)t->visits[node], value = t->total[node] / visits;
    float weight = sqrtf(visits) * (rule->exploration + logf((visits + rule->growth + 1.0f) / rule->growth));
    vec least = all(value), most = all(value);
    for (int64_t i = 0; i < t->stride; i += WIDTH) {
        vec known = choose(load_counts(taken + i) > 0.0f, load(q + i), all(value));
        least = smaller(least, known);
        most = larger(most, known);
    }
    float low = -largest(-least), range = largest(most) - low, scale = 1.0f / (range > LEAST ? range : LEAST);
    for (int64_t i = 0; i < t->stride; i += WIDTH) {
        vec count = load_counts(taken + i);
        vec bound = load(prior + i) * weight / (1.0f + count);
        bound += choose(count > 0.0f, (load(q + i) - low) * scale, all(0.0f));
        store(work + i, choose(load(logits + i) > -INFINITE, bound, all(-INFINITE)));
    }
    return first_largest(work, t->stride);
}

/* Add what a node returns to it and to all nodes on the way back to the root. */
static void back_up(const struct tree *t, float discount, int64_t node)
{
    float returned = t->evaluated[node];
    t->visits[node]++;
    t->total[node] += returned;
    while (node) {
        int64_t parent = t->parent[node], at = parent * t->stride + t->action[node];
        returned = t->reward[node] + discount * returned;
        t->taken[at]++;
        t->q[at] = t->reward[node] + discount * (t->total[node] / (float)t->visits[node]);
        t->visits[parent]++;
        t->total[parent] += returned;
        node = parent;
    }
}

#endif
