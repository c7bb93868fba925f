"""What `torchrun` tells each process that it starts, read from the variables that it sets. Nobody else reads them."""

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

from think.core.errors import BadSettings

if TYPE_CHECKING:
    from think.core.processes import Launch

NAMES = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "MASTER_PORT")


def launch(environment: Mapping[str, str] = os.environ) -> "Launch | None":
    """What was said; None in a process that nobody launched as one of several.

    Raises BadSettings for values that cannot be.
    """
    if "RANK" not in environment or "WORLD_SIZE" not in environment:
        return None
    from think.core.processes import Launch

    numbers = {name: _number(name, environment) for name in NAMES}
    if numbers["RANK"] >= numbers["WORLD_SIZE"] or numbers["LOCAL_RANK"] >= numbers["LOCAL_WORLD_SIZE"]:
        raise BadSettings(
            f"process {numbers['RANK']} of {numbers['WORLD_SIZE']} cannot be",
            where="RANK, WORLD_SIZE, LOCAL_RANK, LOCAL_WORLD_SIZE",
            expected="what torchrun sets",
        )
    if "MASTER_ADDR" not in environment:
        raise _missing("MASTER_ADDR")
    attempts = environment.get("TORCHELASTIC_RESTART_COUNT", "0")
    return Launch(
        rank=numbers["RANK"],
        world_size=numbers["WORLD_SIZE"],
        local_rank=numbers["LOCAL_RANK"],
        local_world_size=numbers["LOCAL_WORLD_SIZE"],
        address=environment["MASTER_ADDR"],
        port=numbers["MASTER_PORT"],
        served=environment.get("TORCHELASTIC_USE_AGENT_STORE") == "True",
        attempt=int(attempts) if attempts.isdecimal() else 0,
    )


def _number(name: str, environment: Mapping[str, str]) -> int:
    if name not in environment:
        raise _missing(name)
    if not environment[name].isdecimal():
        raise BadSettings(f"{name} = {environment[name]!r}", expected="a whole number, as torchrun sets it")
    return int(environment[name])


def _missing(name: str) -> BadSettings:
    return BadSettings(
        f"RANK and WORLD_SIZE are set, {name} is not",
        expected="all that torchrun sets, or none of it",
        remedy="start the run with torchrun, or unset RANK and WORLD_SIZE",
    )
