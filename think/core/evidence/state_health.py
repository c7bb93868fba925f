"""The states of a finished run's model on its held-out text."""

from think.core.diagnostics.state_health import examine, streams_of
from think.core.errors import BadData, Missing
from think.core.evidence import Producer, Subject
from think.core.evidence._trained import finished, recheck_checkpoint, source
from think.core.gates.evidence import Absent, BranchState, Exhibit, StateHealth


def produce(subject: Subject) -> Exhibit | Absent:
    """Load the model that the run ended with and look at its states; no figure is taken from telemetry."""
    found = finished(subject)
    if isinstance(found, Absent):
        return found
    try:
        tokens = streams_of(found.trained.split)
    except (BadData, Missing) as error:
        return Absent(why=error.what, remedy=error.remedy)
    seen = examine(found.trained.model, tokens)
    return Exhibit(
        evidence=StateHealth(
            branches=tuple(
                BranchState(
                    layer=each.layer,
                    branch=each.branch,
                    cosine=each.cosine,
                    participation=each.participation,
                    saturated=each.saturated,
                    norms=each.norms,
                )
                for each in seen.branches
            ),
            lengths=seen.lengths,
            streams=seen.streams,
            response=seen.response,
            deterministic=seen.deterministic,
            not_finite=seen.not_finite,
        ),
        source=source(subject, found.run, found.spans, found.trained),
    )


SPEC = Producer(produce, recheck_checkpoint)
