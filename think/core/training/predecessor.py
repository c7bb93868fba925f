"""The finished run that a stage stands on, as the stage sees it: a verified checkpoint and where it comes from.

What a stage trains is worth something only together with the weights that it was trained on. So a checkpoint names its
predecessor by the sha256 of these weights, and that one names its own.
"""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from think.core.errors import BadSettings
from think.core.training import sealed
from think.presets.base import Settings

WEIGHTS = "model"
"The group of tensors that a stage has trained, in the checkpoint of every stage."

MUST_AGREE = ("model", "tokenizer", "pack", "tokenizer_file")
"Digests in which a stage and its predecessor are one: the network, its tokens, and the packed data."


@dataclass(frozen=True)
class Predecessor:
    """A run of an earlier stage.

    path      its checkpoint, verified
    sha256    of the weights in there
    settings  the section of its stage, as that run was trained
    before    what that run stands on in turn; None for stage 1
    """

    stage: str
    run: str
    path: Path
    step: int
    sha256: str
    digests: Mapping[str, str] = field(default_factory=dict)
    settings: Settings | None = None
    before: "Predecessor | None" = None

    def as_json(self) -> dict[str, Any]:
        """For the plan and for checkpoints: which weights, not where they lie."""
        return {
            "stage": self.stage,
            "run": self.run,
            "step": self.step,
            "sha256": self.sha256,
            "digests": dict(self.digests),
            "before": None if self.before is None else self.before.as_json(),
        }

    def chain(self) -> Iterator["Predecessor"]:
        """This run, and all that it stands on."""
        yield self
        if self.before is not None:
            yield from self.before.chain()

    def of(self, stage: str) -> "Predecessor":
        """The run of an earlier stage among them. Raises LookupError when there is none, a mistake of the stage."""
        for each in self.chain():
            if each.stage == stage:
                return each
        raise LookupError(f"{self.stage} stands on no {stage}")

    def weights(self) -> dict[str, Tensor]:
        """What it has trained, by name. Raises BadData when the checkpoint was damaged since."""
        return sealed.read(self.path, (WEIGHTS,))[WEIGHTS]


def weights_digest(path: Path) -> str:
    """sha256 of the weights in a verified checkpoint: of the file, or of the list of its shards."""
    files = sealed.manifest(path)["files"]
    own = {name: listed["sha256"] for name, listed in files.items() if name.startswith((f"{WEIGHTS}.", f"{WEIGHTS}/"))}
    if len(own) == 1:
        return str(next(iter(own.values())))
    return hashlib.sha256(sealed.canonical(own)).hexdigest()


def refuse_another(trained_on: Mapping[str, Any] | None, offered: Predecessor | None, where: str) -> None:
    """Raises BadSettings when a run to go on with was trained on other weights than those that are there now."""
    now = None if offered is None else offered.as_json()
    if trained_on is None and now is None:
        return
    held = None if trained_on is None else trained_on["sha256"]
    if now is None or held != now["sha256"]:
        told = "nothing" if trained_on is None else f"{trained_on['run']} at step {trained_on['step']:,}"
        raise BadSettings(
            "the run was trained on the weights of another predecessor",
            where=where,
            expected=f"{told} (weights {str(held)[:16]}…)"
            + ("" if offered is None else f", not {offered.run} at step {offered.step:,} ({offered.sha256[:16]}…)"),
            remedy="name the run that it was trained on with --from, or start a new run with another --out",
        )
