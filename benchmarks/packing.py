"""Packing beside the tokenizer library's own `encode_batch` on the same text, and peak memory as the corpus grows.

Each figure comes from a process of its own. Text is the corpus repeated; contestants alternate, and the ratio of each
round is taken within the round, so a busy moment meets both. Goals: at least 0.8 of encode_batch; memory that does not
grow with the corpus.

    python benchmarks/packing.py TEXT... [--size 4096] [--rounds 5] [--copies 1 8]
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import _report
from tokenizers import Tokenizer as Library

from think.core.data.pack import pack, texts
from think.core.data.settings import DataSettings
from think.core.data.sources.text import Settings as Text
from think.core.data.tokenizer import BpeSettings, Tokenizer, train

GOAL = 0.8
GROWTH_GOAL = 1.2
"Peak memory at the larger corpus over that at the smaller; one batch more or less is not growth."

SPLITS = ("file", "blank_line")


def settings(path: Path, split_on: str) -> DataSettings:
    return DataSettings.model_validate_json(
        f'{{"sources": [{{"kind": "text", "path": "{path}"}}], "split_on": "{split_on}"}}'
    )


def timed_pack(path: Path, tokenizer: Path, split_on: str) -> float:
    """Seconds to pack, checksums and disk included."""
    wanted = settings(path, split_on)
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        pack(wanted.sources, wanted, Tokenizer.load(tokenizer), Path(folder) / "out")
        return time.perf_counter() - began


def timed_library(path: Path, tokenizer: Path, split_on: str) -> float:
    """Seconds of encode_batch alone on the same documents, all of them in memory, nothing kept."""
    library = Library.from_file(str(tokenizer))
    documents = list(texts_of(path, split_on))
    began = time.perf_counter()
    library.encode_batch(documents, add_special_tokens=False)
    return time.perf_counter() - began


def texts_of(path: Path, split_on: str) -> list[str]:
    from think.core.data.sources import Reading
    from think.core.data.sources.text import documents

    wanted = settings(path, split_on)
    source = wanted.sources[0]
    assert isinstance(source, Text)
    return [
        document.text if isinstance(document.text, str) else "".join(document.text)
        for document in documents(source, Reading(wanted.split_on))
    ]


def peak(path: Path, tokenizer: Path, split_on: str) -> int:
    """Peak resident bytes of a process that only packs."""
    command = [sys.executable, __file__, str(path), "--measure", str(tokenizer), "--split-on", split_on]
    return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def _peak_of_this_process() -> int:
    # Not getrusage: there a child starts with the peak of the process that forked it.
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("text", nargs="+", type=Path)
    parser.add_argument("--size", type=int, default=4096)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--copies", type=int, nargs=2, default=[1, 8])
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--split-on", choices=SPLITS, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.measure is not None:
        timed_pack(given.text[0], given.measure, given.split_on)
        print(_peak_of_this_process())
        return
    files = [file for path in given.text for file in (sorted(path.glob("*.txt")) if path.is_dir() else [path])]
    with tempfile.TemporaryDirectory() as folder:
        figures = measure(Path(folder), "\n\n".join(file.read_text() for file in files), given)
    print(f"written to {_report.write('packing', figures)}")


def measure(folder: Path, text: str, given: argparse.Namespace) -> dict[str, object]:
    corpora = []
    for copies in given.copies:
        path = folder / f"{copies}.txt"
        path.write_text("\n\n".join([text] * copies))
        corpora.append(path)
    wanted = settings(corpora[0], "file")
    tokenizer = train(BpeSettings(size=given.size), texts(wanted.sources, wanted)).save(folder)
    megabytes = corpora[0].stat().st_size / 1e6
    figures: dict[str, object] = {"megabytes": megabytes, "vocabulary": given.size, "rounds": given.rounds}
    print(f"{megabytes:.1f} MB of text, vocabulary {given.size}, median of {given.rounds} rounds [lowest, highest]")
    for split_on in SPLITS:
        rounds = [
            (timed_library(corpora[0], tokenizer, split_on), timed_pack(corpora[0], tokenizer, split_on))
            for _ in range(given.rounds)
        ]
        ratios = [library / ours for library, ours in rounds]
        ratio, ours = statistics.median(ratios), statistics.median(pair[1] for pair in rounds)
        memory = [peak(corpus, tokenizer, split_on) for corpus in corpora]
        growth = memory[1] / memory[0]
        figures[split_on] = {
            "ratios": ratios,
            "seconds": rounds,
            "peak_bytes": dict(zip(given.copies, memory, strict=True)),
        }
        print(
            f"{split_on:10s}  {megabytes / ours:6.2f} MB/s  {ratio:.2f} [{min(ratios):.2f}, {max(ratios):.2f}] of"
            f" encode_batch (goal {GOAL}: {'met' if ratio >= GOAL else 'MISSED'})   peak memory"
            f" {memory[0] / 1e6:.0f} MB, {memory[1] / 1e6:.0f} MB at {given.copies[1] / given.copies[0]:g}x the text"
            f" (goal {GROWTH_GOAL}x: {'met' if growth <= GROWTH_GOAL else 'MISSED'})"
        )
    return figures


if __name__ == "__main__":
    main()
