"""What a screen needs that no view holds yet, one screen a file.

Each file exports `SPEC`, a function (Index, until) -> value. The index has what was read of the selected run, `until`
is the last step that a replay shows or None. The value stands in `View.extra` under the name of the file; it must not
change any more once it was given away, and its texts must be harmless.
"""

from collections.abc import Callable
from typing import Any

from think.core.telemetry.index import Index

FAMILY = "think.tui.views.extra"
Extra = Callable[[Index, int | None], Any]
