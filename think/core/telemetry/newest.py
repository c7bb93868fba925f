"""Finds the newest facts of a run at the ends of its files, without reading what lies between."""

from collections.abc import Sequence

from think.core.telemetry.columns import Decoder
from think.core.telemetry.latest import Latest
from think.core.telemetry.records import LIFECYCLE, Record
from think.core.telemetry.segment import Segment
from think.core.telemetry.stretches import BLOCK, backwards

LATEST_BYTES = 64 * 1024
"Read from the end of a run, record by record: more than SPEED_STEPS step records."

SEARCH_BYTES = 64 * 1024 * 1024
"How far back the newest evaluation is looked for."

EVALUATION = b'"kind":"eval"'
"As the writer writes it."


def find(latest: Latest, segments: Sequence[Segment], decoder: Decoder) -> None:
    """Feed the newest records of the newest segments, oldest first."""
    texts: list[tuple[bytes, float]] = []
    left = LATEST_BYTES
    for segment in reversed(segments):
        if left <= 0:
            break
        if segment.cut < 0 or segment.read == 0:
            continue
        try:
            text = backwards(segment.path, segment.read, block=left).text
        except OSError:
            continue
        texts.append((text, segment.cut))
        left -= len(text)
    start, latest.start = latest.start, None
    for text, cut in reversed(texts):
        for line in text.split(b"\n"):
            record = record_of(line, decoder) if line else None
            if record is not None and (record.step is None or record.step <= cut or record.kind in LIFECYCLE):
                latest.take(record)
    if latest.start is None:
        latest.start = start


def evaluation_in(latest: Latest, text: bytes, cut: float, decoder: Decoder) -> None:
    """Take the newest evaluation of a stretch that counts, while none is known."""
    stop = len(text)
    while latest.evaluation is None and (at := text.rfind(EVALUATION, 0, stop)) >= 0:
        stop = text.rfind(b"\n", 0, at) + 1
        record = record_of(text[stop : text.find(b"\n", at)], decoder)
        if record is not None and record.kind == "eval" and (record.step or 0) <= cut:
            latest.earlier(record)


def seek_evaluation(latest: Latest, segments: Sequence[Segment], decoder: Decoder) -> None:
    """Look for the newest held-out loss by its name alone: fast, and at most SEARCH_BYTES far."""
    left = SEARCH_BYTES
    for segment in reversed(segments):
        stop = segment.read if segment.cut >= 0 else 0
        while stop > 0 and left > 0 and latest.evaluation is None:
            try:
                stretch = backwards(segment.path, stop, block=4 * BLOCK)
            except OSError:
                break
            evaluation_in(latest, stretch.text, segment.cut, decoder)
            left -= stop - stretch.start
            stop = stretch.start


def record_of(line: bytes, decoder: Decoder) -> Record | None:
    """The record of a line; None when it is none."""
    try:
        return decoder.record(line)
    except ValueError:
        return None
