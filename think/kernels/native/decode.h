/* A decoding program as think/kernels/decode/native.py writes it, and the memory it works on. */
#ifndef THINK_DECODE_H
#define THINK_DECODE_H

#include "packed.h"

#include <math.h>

enum kind {
    COPY, SCALE, TANH, SIGMOID, SILU, SOFTPLUS, RELU_SQUARE, GELU, CAP, DECAY, POSITIVE, ADD, MULTIPLY, ADDCMUL, LERP, GATE,
    EMBED, NORM, GROUP_NORM, LINEAR, RWKV6, SSD, CONV, ROTARY, TURN, ATTENTION
};
enum space { REGISTER, STATE, RING, WEIGHT, LOGITS };
enum { WORDS = 32, INPUTS = 7 };

struct operand {
    int64_t space, offset, width;
};
struct op {
    int64_t kind, together, size[3]; /* together: this one and those after it that do not wait for one another */
    double constant;
    struct operand out, in[INPUTS];
    int64_t unused[2];
};
_Static_assert(sizeof(struct op) == 8 * WORDS, "the words of an operation");

struct call {
    const struct op *ops;
    const int64_t *tokens, *rows;
    int64_t *lengths;
    float *memory[5];
    int64_t stride[5];
    int64_t count, batch;
};

/* Where an operand of stream `i` of the call lies. */
INLINE float *at(const struct call *c, const struct operand *o, int64_t i)
{
    int64_t row = o->space == STATE || o->space == RING ? c->rows[i] : i;
    return c->memory[o->space] + row * c->stride[o->space] + o->offset;
}

#endif
