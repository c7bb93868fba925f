"""The state from chunk to chunk: S_{c+1} = gain_c S_c + move_c, forward or backward in time.

X = B H sequences  M chunks  R x C elements of a state; one gain for each row of a state, or one for all
"""

import triton
import triton.language as tl
from torch import Tensor

BLOCK = 256
"Elements of a state that one program carries."


@triton.jit
def _scan(
    moves: tl.tensor,
    gains: tl.tensor,
    entering: tl.tensor,
    leaving: tl.tensor,
    chunks: tl.tensor,
    size: tl.tensor,
    shared: tl.tensor,
    REVERSE: tl.constexpr,
    N: tl.constexpr,
) -> None:
    sequence = tl.program_id(0).to(tl.int64)
    place = tl.program_id(1) * N + tl.arange(0, N)
    inside = place < size
    held = tl.load(entering + sequence * size + place, mask=inside, other=0.0)
    for step in range(chunks):
        chunk = sequence * chunks + (chunks - 1 - step if REVERSE else step)
        at = moves + chunk * size + place
        moved = tl.load(at, mask=inside, other=0.0)
        tl.store(at, held, mask=inside)
        gain = tl.load(gains + chunk * (size // shared) + place // shared, mask=inside, other=0.0)
        held = gain * held + moved
    tl.store(leaving + sequence * size + place, held, mask=inside)


def scan(moves: Tensor, gains: Tensor, entering: Tensor, *, reverse: bool = False) -> Tensor:
    """Replace each move by the state that enters its chunk (in the order of the scan); returns the one that leaves.

    moves [X, M, R, C], consumed; gains [X, M, R] or [X, M, 1]; entering [X, R, C] in any shape, which the result has.
    """
    sequences, chunks = moves.shape[:2]
    size = moves.shape[2] * moves.shape[3]
    leaving = entering.new_empty(entering.shape)
    grid = (sequences, triton.cdiv(size, BLOCK))
    _scan[grid](moves, gains, entering, leaving, chunks, size, size // gains.shape[2], REVERSE=reverse, N=BLOCK)
    return leaving
