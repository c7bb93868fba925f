"""One self-contained page about a run: nothing is loaded from anywhere, no script runs, plots are SVG inside it.

Equal folders give equal pages. Every text of the run is escaped; a damaged or unfinished folder gives a page of what is
there, and says what is not.
"""

from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

from think.core.durable import replace_file
from think.core.errors import InputOutput
from think.core.facts import Facts
from think.core.page.curves import curves
from think.core.page.inside import gradients, states
from think.core.page.markup import Html, joined, tag
from think.core.page.origin import damage, origin, settings
from think.core.page.sections import anomalies, gates, head, samples

POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
"What a browser is told: whatever a text smuggled in, nothing is fetched, run or sent."


def page(facts: Facts, texts: Sequence[tuple[str, str]] = ()) -> str:
    """The whole page. texts: samples of the model, each with how it was made."""
    parts = {
        "curves": ("Curves", curves(facts)),
        "gates": ("Gates", gates(facts)),
        "gradients": ("Gradients by component", gradients(facts)),
        "states": ("State health", states(facts)),
        "anomalies": ("Anomalies", anomalies(facts)),
        "samples": ("Samples", samples(texts, facts.run.name)),
        "settings": ("Settings", settings(facts.run)),
        "origin": ("How it was made", origin(facts)),
    }
    links = tag("nav", *(tag("a", title, of={"href": f"#{name}"}) for name, (title, _) in parts.items()))
    body = [head(facts), links, damage(facts)]
    body += [tag("section", tag("h2", title), part, of={"id": name}) for name, (title, part) in parts.items()]
    style = (files("think.core.page") / "style.css").read_text(encoding="utf-8")
    header = tag(
        "head",
        tag("meta", of={"charset": "utf-8"}),
        tag("meta", of={"http-equiv": "Content-Security-Policy", "content": POLICY}),
        tag("meta", of={"name": "viewport", "content": "width=device-width, initial-scale=1"}),
        tag("title", f"Run {facts.run.name}"),
        tag("style", Html(style)),
    )
    return f"<!doctype html>\n{tag('html', header, tag('body', joined(body, chr(10))), of={'lang': 'en'})}\n"


def write(facts: Facts, file: Path, texts: Sequence[tuple[str, str]] = ()) -> None:
    """Write the page, whole or not at all. Raises InputOutput when it cannot."""
    content = page(facts, texts).encode()
    try:
        replace_file(file, content)
    except OSError as error:
        raise InputOutput(
            f"the page cannot be written: {error.strerror or error}",
            where=str(file),
            expected="a file in a folder that is there and can be written, on a disk with room",
            remedy="name another file, or make its folder",
        ) from error
