"""What was drawn and would come out the same again: four frames a second are cheap when most of each is remembered."""

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Hashable

from think.tui.view import Series
from think.tui.widgets.cells import Block


class Remembered:
    """The blocks drawn last, at most so many. A key must tell all that a block depends on."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._blocks: OrderedDict[Hashable, Block] = OrderedDict()

    def drawn(self, key: Hashable, make: Callable[[], Block]) -> Block:
        found = self._blocks.pop(key, None)
        if found is None:
            found = make()
            if len(self._blocks) >= self._most:
                self._blocks.popitem(last=False)
        self._blocks[key] = found
        return found


def content(series: Series) -> Hashable:
    """Equal for two series that look the same: a digest, for a key that held the values would outweigh the block."""
    seen = hashlib.blake2b(digest_size=16)
    for array in (series.steps, series.times, series.minimum, series.maximum, series.mean, series.non_finite):
        seen.update(array.tobytes())
    return series.sampled, len(series), series.last[-1:].tobytes(), seen.digest()
