"""What `think runs` writes for people: the page of `show --html`, and the sample that it and the report hold."""

from pathlib import Path
from typing import TYPE_CHECKING

from think.cli.console import console

if TYPE_CHECKING:
    from think.core.facts import Facts
    from think.core.report import Sample
    from think.core.runs import RunFolder

SAMPLE_TOKENS = 200


def refuse_other_files(html: Path) -> None:
    """A forgotten FILE must not make a page out of a run's own files."""
    from think.core.errors import UsageError

    if html.suffix not in (".html", ".htm"):
        raise UsageError(
            f"--html {str(html)!r} is no name of a page", expected="a file that ends in .html, such as --html run.html"
        )


def write(facts: "Facts", html: Path) -> None:
    """The page, with the samples of the run's report, or with one that its model writes now."""
    from think.core import page
    from think.core.samples import samples

    try:
        texts = samples(facts.run.report_file.read_text(encoding="utf-8", errors="replace"))
    except OSError:
        texts = []
    if not texts and (sample := sample_if_any(facts.run, SAMPLE_TOKENS, 0, "page")) is not None:
        made = f"no prompt, seed {sample.seed}, temperature {sample.temperature:g}, not chosen among several"
        texts = [(made, sample.text)]
    page.write(facts, html, texts)


def sample_of(run: "RunFolder", prompt: str, tokens: int, seed: int) -> "Sample":
    from think.core.assembled import DEFAULT, load
    from think.core.report import Sample

    held = load(run.path)
    text = held.generate(prompt, tokens=tokens, seed=seed)
    return Sample(text, prompt, seed=seed, temperature=DEFAULT.temperature)


def sample_if_any(run: "RunFolder", tokens: int, seed: int, what: str = "report") -> "Sample | None":
    """A sample that nobody asked for: a report is made without one where the run cannot write, and says so."""
    from think.core.errors import ThinkError
    from think.presets.decode import SettingsError

    try:
        return sample_of(run, "", tokens, seed)
    except (ThinkError, SettingsError) as error:
        console.warn(f"the {what} has no sample: {error}")
        return None
