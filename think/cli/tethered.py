"""`python -m think.cli.tethered ARGUMENTS`: the `think` command, stopped when whoever holds its standard input dies.

Study runners start trainings this way: a runner that is killed on the spot leaves no training behind.
"""

import os
import signal
import sys
import threading

from think.cli.app import main


def _hold_on() -> None:
    """Wait until nobody can write to standard input any more, then ask ourselves to stop, after a checkpoint."""
    while os.read(0, 1):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    threading.Thread(target=_hold_on, daemon=True, name="tether").start()
    sys.argv[0] = "think"
    main()
