/* A tree search over a GRU world model, all simulations of all positions in one call.
 *
 * think/core/planning/search.py is the same search in torch; the numbers of nodes are the same too. Every thread takes
 * some of the positions through the whole search and none waits for another. It walks its positions down to the states
 * that are missing, steps and evaluates those together, and goes on. A position never meets another: its bytes do not
 * depend on the batch nor on the threads.
 *
 * The product with the state, most of the work of a step, is the same for every action: it is made when the first action
 * is tried from a node, and kept for the others.
 */
#include "search_tree.h"
#include "search_world.h"

enum problem { NO_PROBLEM, NOT_FINITE, NO_LEGAL_ACTION };

/* As think/kernels/search/native.py lays it out. */
struct search {
    struct world world;
    struct rule rule;
    struct tree tree; /* of position 0 */
    int64_t positions, simulations, fresh, considered, turns;
    const int64_t *schedule; /* [considered + 1, turns, 2]: visits and size of the passes, by how many are considered */
    const float *noise;      /* [positions, actions], or NULL */
    const uint8_t *legal;    /* [positions, actions], or NULL; looked at when the trees are fresh */
    int64_t *problem, *chosen, *began_with;
    float *policy;  /* [positions, stride] */
    int32_t *made;  /* [positions, stride] */
    int64_t groups; /* of positions; not the caller's */
};

enum { KEPT = 1 << 25 }; /* bytes of products that are kept at most, for one group */

struct position {
    struct tree tree;
    int32_t *product; /* of each node: its place among those that are kept, or NONE */
    const int64_t *passes;
    float *sampled; /* logits and noise */
    int32_t *before;
    int64_t turn, made, done, failed;
};

struct request {
    struct position *position;
    int64_t parent, action, node;
};

struct group {
    const struct search *search;
    struct position *positions;
    struct request *requests;
    float *gates, *heads[ROWS], *work, *step;
    int32_t *products; /* of all positions */
    int64_t count, stride, kept, room; /* stride: floats of a product; kept: how many there are; room: how many fit */
};

static struct tree tree_of(const struct search *s, int64_t position)
{
    struct tree t = s->tree;
    int64_t nodes = position * t.room, places = nodes * t.stride;
    t.parent += nodes, t.action += nodes, t.visits += nodes, t.total += nodes, t.evaluated += nodes, t.reward += nodes;
    t.terminal += nodes, t.used += position, t.states += nodes * t.width;
    t.logits += places, t.child += places, t.taken += places, t.q += places, t.prior += places;
    return t;
}

/* ---- nodes */

static void close_node(const struct tree *t, int64_t node)
{
    for (int64_t i = node * t->stride; i < (node + 1) * t->stride; i++)
        t->logits[i] = -INFINITE, t->prior[i] = 0.0f;
}

static void clear(const struct tree *t, int64_t node)
{
    close_node(t, node);
    t->parent[node] = t->action[node] = NONE;
    t->visits[node] = 0, t->terminal[node] = 0;
    t->total[node] = t->evaluated[node] = t->reward[node] = 0.0f;
    int64_t first = node * t->stride;
    for (int64_t i = first; i < first + t->stride; i++)
        t->child[i] = NONE;
    memset(t->taken + first, 0, 4 * (size_t)t->stride);
    memset(t->q + first, 0, 4 * (size_t)t->stride);
}

/* What the heads said of a node becomes its own; gives whether all of it is finite. */
static int evaluate(const struct world *w, const struct tree *t, int64_t node, const float *heads, const uint8_t *legal)
{
    const float *further = heads + w->actions;
    float value = value_of(w, further), odd = value - value, sum = 0.0f;
    further += w->values;
    float reward = w->has_reward ? *further++ : 0.0f;
    int end = node && w->has_end && *further > 0.0f;
    for (int64_t i = 0; i < w->actions; i++)
        sum += heads[i] - heads[i];
    odd += sum + (reward - reward) + (w->has_end ? *further - *further : 0.0f);
    if (node)
        t->reward[node] = w->has_reward ? reward : end ? value : 0.0f;
    t->terminal[node] = (uint8_t)end;
    if (end)
        return odd == 0.0f;
    float *logits = t->logits + node * t->stride;
    t->evaluated[node] = value;
    for (int64_t i = 0; i < w->actions; i++)
        if (!legal || legal[i])
            logits[i] = heads[i];
    if (odd == 0.0f)
        softmax(logits, t->prior + node * t->stride, t->stride);
    return odd == 0.0f;
}

static void plant(struct group *g, int64_t first)
{
    const struct search *s = g->search;
    const struct world *w = &s->world;
    for (int64_t from = 0; from < g->count; from += ROWS) {
        int64_t rows = g->count - from < ROWS ? g->count - from : ROWS;
        const float *state[ROWS];
        for (int64_t row = 0; row < rows; row++)
            state[row] = g->positions[from + row].tree.states;
        heads(w, rows, state, g->heads);
        for (int64_t row = 0; row < rows; row++) {
            struct position *p = &g->positions[from + row];
            const uint8_t *legal = s->legal ? s->legal + (first + from + row) * w->actions : NULL;
            clear(&p->tree, 0);
            *p->tree.used = 1;
            int64_t some = !legal;
            for (int64_t i = 0; i < w->actions && !some; i++)
                some = legal[i];
            if (!some)
                p->failed = NO_LEGAL_ACTION;
            else if (!evaluate(w, &p->tree, 0, g->heads[row], legal))
                p->failed = NOT_FINITE;
            p->tree.visits[0] = 1, p->tree.total[0] = p->tree.evaluated[0];
        }
    }
}

/* ---- the root */

static void begin(const struct search *s, struct position *p, int64_t number)
{
    const struct tree *t = &p->tree;
    int64_t legal = 0;
    for (int64_t node = 0; node < *t->used && !s->fresh; node++)
        if (t->terminal[node])
            close_node(t, node);
        else
            softmax(t->logits + node * t->stride, t->prior + node * t->stride, t->stride);
    memcpy(p->before, t->taken, 4 * (size_t)t->stride);
    for (int64_t i = 0; i < t->stride; i++) {
        float noise = s->noise && i < s->world.actions ? s->noise[number * s->world.actions + i] : 0.0f;
        p->sampled[i] = t->logits[i] + noise;
        legal += t->logits[i] > -INFINITE;
    }
    int64_t began_with = s->rule.is_gumbel && legal > s->considered ? s->considered : legal;
    s->began_with[number] = began_with;
    p->passes = s->rule.is_gumbel ? s->schedule + began_with * s->turns * 2 : NULL;
}

/* The root actions to simulate next, in ascending order; gives how many. */
static int64_t choose_root(const struct search *s, struct position *p, float *work, int64_t *chosen)
{
    const struct tree *t = &p->tree;
    if (p->failed || p->done == s->simulations)
        return 0;
    if (!s->rule.is_gumbel) {
        chosen[0] = bound_choice(t, &s->rule, 0, work);
        p->done++;
        return 1;
    }
    int64_t seen = p->passes[2 * p->turn], size = p->passes[2 * p->turn + 1], left = size - p->made, candidates = 0;
    improved(t, &s->rule, 0, p->sampled, work);
    for (int64_t i = 0; i < t->stride; i++)
        if (work[i] > -INFINITE && t->taken[i] - p->before[i] == seen)
            candidates++;
        else
            work[i] = -INFINITE;
    int64_t count = p->turn == 0 || candidates == left ? left : 1;
    for (int64_t n = 0; n < count; n++) {
        int64_t best = first_largest(work, t->stride), at = n;
        work[best] = -INFINITE;
        for (; at > 0 && chosen[at - 1] > best; at--)
            chosen[at] = chosen[at - 1];
        chosen[at] = best;
    }
    p->done += count, p->made += count;
    if (p->made == size)
        p->turn++, p->made = 0;
    return count;
}

static void conclude(const struct search *s, struct position *p, int64_t number, float *work)
{
    const struct tree *t = &p->tree;
    int32_t *made = s->made + number * t->stride, most = 0;
    float *policy = s->policy + number * t->stride;
    for (int64_t i = 0; i < t->stride; i++) {
        made[i] = t->taken[i] - p->before[i];
        most = made[i] > most ? made[i] : most;
    }
    if (s->rule.is_gumbel)
        improved(t, &s->rule, 0, p->sampled, work);
    else
        memcpy(work, t->q, 4 * (size_t)t->stride);
    for (int64_t i = 0; i < t->stride; i++)
        if (made[i] != most)
            work[i] = -INFINITE;
    s->chosen[number] = first_largest(work, t->stride);
    if (s->rule.is_gumbel) {
        improved(t, &s->rule, 0, t->logits, work);
        softmax(work, policy, t->stride);
    } else {
        for (int64_t i = 0; i < t->stride; i++)
            policy[i] = (float)made[i] / (float)s->simulations;
    }
}

/* Places that no node has taken. */
static void clear_rest(const struct tree *t)
{
    for (int64_t node = *t->used; node < t->room; node++) {
        clear(t, node);
        memset(t->states + node * t->width, 0, 4 * (size_t)t->width);
    }
}

/* ---- walks */

/* Follow a root action to a state that is missing, which becomes a request, or to where the tree ends. */
static int64_t walk(const struct group *g, struct position *p, int64_t action, struct request *request)
{
    const struct tree *t = &p->tree;
    const struct rule *rule = &g->search->rule;
    for (int64_t parent = 0, depth = 1;; depth++) {
        int64_t *child = &t->child[parent * t->stride + action];
        if (*child == NONE) {
            int64_t node = *child = (*t->used)++;
            clear(t, node);
            t->parent[node] = parent, t->action[node] = action;
            *request = (struct request){p, parent, action, node};
            return 1;
        }
        if (t->terminal[*child] || depth == rule->depth) {
            back_up(t, rule->discount, *child);
            return 0;
        }
        parent = *child;
        action = rule->is_gumbel ? improved_choice(t, rule, parent, g->work) : bound_choice(t, rule, parent, g->work);
    }
}

/* Make the products that are missing of the states that steps begin in. */
static void prepare(struct group *g, int64_t requests)
{
    const struct search *s = g->search;
    if (g->kept + requests > g->room) { /* forget all: then there is room for what one round can ask */
        memset(g->products, 0xff, 4 * (size_t)(g->count * s->tree.room));
        g->kept = 0;
    }
    const float *state[ROWS];
    float *to[ROWS];
    int64_t rows = 0;
    for (int64_t i = 0; i < requests; i++) {
        const struct request *r = &g->requests[i];
        int32_t *product = &r->position->product[r->parent];
        if (*product == NONE) {
            *product = (int32_t)g->kept++;
            state[rows] = r->position->tree.states + r->parent * s->world.width;
            to[rows++] = g->gates + *product * g->stride;
        }
        if (rows == ROWS || i == requests - 1) {
            gates_of(&s->world, rows, state, to);
            rows = 0;
        }
    }
}

static void answer(struct group *g, int64_t from, int64_t rows)
{
    const struct world *w = &g->search->world;
    const float *state[ROWS];
    for (int64_t row = 0; row < rows; row++) {
        const struct request *r = &g->requests[from + row];
        const struct tree *t = &r->position->tree;
        float *after = t->states + r->node * t->width;
        const float *gates = g->gates + r->position->product[r->parent] * g->stride;
        step(w, gates, r->action, t->states + r->parent * t->width, after, g->step);
        state[row] = after;
    }
    heads(w, rows, state, g->heads);
    for (int64_t row = 0; row < rows; row++) {
        const struct request *r = &g->requests[from + row];
        if (!evaluate(w, &r->position->tree, r->node, g->heads[row], NULL))
            r->position->failed = NOT_FINITE;
        back_up(&r->position->tree, g->search->rule.discount, r->node);
    }
}

static int run_group(const void *job, int64_t task)
{
    const struct search *s = job;
    const struct world *w = &s->world;
    int64_t first = s->positions * task / s->groups, count = s->positions * (task + 1) / s->groups - first;
    int64_t most = s->rule.is_gumbel ? s->considered : 1;
    int64_t stride = s->tree.stride, nodes = count * s->tree.room, out = round_up(outputs_of(w), LANES);
    struct group g = {.search = s, .count = count, .stride = round_up(3 * w->width, LANES)};
    g.room = nodes < KEPT / 4 / g.stride ? nodes : KEPT / 4 / g.stride;
    g.room = g.room > count * most ? g.room : count * most;
    size_t floats = (size_t)(g.room * g.stride + ROWS * out + stride + 2 * count * stride + round_up(nodes, LANES) +
                             2 * round_up(w->width, LANES));
    char *memory = think_scratch(4 * floats + sizeof(struct position) * (size_t)count +
                                 sizeof(struct request) * (size_t)(count * most) + 8 * (size_t)most);
    if (!memory)
        return NO_MEMORY;
    g.gates = (float *)memory;
    float *next = g.gates + g.room * g.stride;
    for (int64_t row = 0; row < ROWS; row++, next += out)
        g.heads[row] = next;
    g.work = next;
    g.step = g.work + stride;
    float *own = g.step + 2 * round_up(w->width, LANES);
    g.products = (int32_t *)(own + 2 * count * stride);
    memset(g.products, 0xff, 4 * (size_t)nodes);
    g.positions = (struct position *)(g.products + round_up(nodes, LANES));
    g.requests = (struct request *)(g.positions + count);
    int64_t *chosen = (int64_t *)(g.requests + count * most);
    for (int64_t i = 0; i < count; i++)
        g.positions[i] = (struct position){.tree = tree_of(s, first + i), .sampled = own + 2 * i * stride,
                                           .before = (int32_t *)(own + (2 * i + 1) * stride),
                                           .product = g.products + i * s->tree.room};
    if (s->fresh)
        plant(&g, first);
    for (int64_t i = 0; i < count; i++)
        if (!g.positions[i].failed)
            begin(s, &g.positions[i], first + i);
    for (int64_t going = 1; going;) {
        int64_t requests = 0;
        going = 0;
        for (int64_t i = 0; i < count; i++) {
            int64_t walks = choose_root(s, &g.positions[i], g.work, chosen);
            for (int64_t n = 0; n < walks; n++)
                requests += walk(&g, &g.positions[i], chosen[n], &g.requests[requests]);
            going |= walks > 0;
        }
        if (requests)
            prepare(&g, requests);
        for (int64_t from = 0; from < requests; from += ROWS)
            answer(&g, from, requests - from < ROWS ? requests - from : ROWS);
    }
    for (int64_t i = 0; i < count; i++) {
        clear_rest(&g.positions[i].tree);
        s->problem[first + i] = g.positions[i].failed;
        if (!g.positions[i].failed)
            conclude(s, &g.positions[i], first + i, g.work);
    }
    return 0;
}

KERNEL(search)(struct search *s, int64_t threads)
{
    s->groups = threads < s->positions ? threads : s->positions;
    return think_parallel(run_group, s, s->groups, threads);
}
