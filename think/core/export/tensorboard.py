"""Telemetry as a TensorBoard event file."""

from pathlib import Path

from think.core.export import lacks, new_folder
from think.core.export._scalars import scalars
from think.core.runs import RunFolder
from think.core.telemetry.tail import read


def export(run: RunFolder, out: Path) -> int:
    """Write every figure of the run into `out`, and return how many; `tensorboard --logdir OUT` shows them."""
    try:
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.proto.summary_pb2 import Summary
        from tensorboard.summary.writer.event_file_writer import EventFileWriter
    except ModuleNotFoundError as error:
        raise lacks("tensorboard", "track") from error
    count = 0
    with new_folder(out) as folder:
        writer = EventFileWriter(str(folder))
        for record in read(run.path):
            values = [Summary.Value(tag=tag, simple_value=number) for tag, number in scalars(record)]
            if values:
                writer.add_event(Event(step=record.step, wall_time=record.time, summary=Summary(value=values)))
                count += len(values)
        writer.close()
    return count
