"""The page of a run: nothing is fetched, nothing a run says becomes markup, and no figure is drawn away."""

import html
import json
import math
import re
import xml.etree.ElementTree as ElementTree
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from think.core import durable
from think.core.errors import InputOutput
from think.core.facts import Facts
from think.core.gates.evidence import Source
from think.core.gates.store import Stored, append
from think.core.gates.verdict import Finding, Status, Verdict
from think.core.page import page, write
from think.core.page.chart import HEIGHT, WIDTH, Chart, Level
from think.core.page.heat import heat
from think.core.page.markup import Html, tag, text
from think.core.page.scale import over
from think.core.runs import RunFolder
from think.core.series import Series
from think.core.telemetry.writer import Clock, Writer

HOSTILE = "</style></svg></td><script>alert(1)</script><img src=//x onerror=1>&\"'\x1b[31m\x00\u202e\ud800"


class Ticking(Clock):
    """Every look at the clock takes a second."""

    def __init__(self) -> None:
        self.now = 0.0

    def time(self) -> float:
        self.now += 1.0
        return self.now

    def monotonic(self) -> float:
        return self.now


class Balance(HTMLParser):
    """What a browser sees: elements, attributes and text; every element that is opened must be closed in order."""

    VOID = frozenset({"meta", "line", "rect", "circle", "path", "polyline", "polygon"})

    def __init__(self, content: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.names: set[str] = set()
        self.attributes: list[tuple[str, str]] = []
        self.texts: list[str] = []
        self.feed(content)
        self.close()
        assert self.open == []

    def handle_starttag(self, name: str, attributes: list[tuple[str, str | None]]) -> None:
        self.names.add(name)
        self.attributes += [(key, value or "") for key, value in attributes]
        if name != "meta":
            self.open.append(name)

    def handle_startendtag(self, name: str, attributes: list[tuple[str, str | None]]) -> None:
        assert name in self.VOID
        self.names.add(name)
        self.attributes += [(key, value or "") for key, value in attributes]

    def handle_endtag(self, name: str) -> None:
        assert self.open.pop() == name

    def handle_data(self, shown: str) -> None:
        self.texts.append(shown)


def drawings(content: str) -> list[ElementTree.Element]:
    return [ElementTree.fromstring(found) for found in re.findall(r"<svg .*?</svg>", content, re.DOTALL)]


def trained(root: Path, name: str = "first", said: str = "a spike") -> RunFolder:
    run = RunFolder.create(root, name)
    run.plan_file.write_text(json.dumps({"parameters": 200_000, "lengths": [64], "note": said}))
    run.settings_file.write_text(
        f"[model]\nwidth = 64  # small.toml:3\nname = {json.dumps(said)}  # default\n"
        "[gates.g3.gradient]\npasses_low = 0.25  # small.toml:9\n",
        errors="replace",
    )
    telemetry = Writer(run.path, clock=Ticking(), heartbeat_seconds=None)
    telemetry.write("run_start", stage="stage1", preset="cpu_smoke", steps=40, seed=7, digests={"model": "abc"})
    for step in range(1, 41):
        telemetry.write("step", step, loss=4.0 / step, learning_rate=0.001, gradient_norm=1.0, tokens=64 * step)
        if step % 10 == 0:
            telemetry.write("component_gradients", step, norms={"rwkv": 3.0, "mamba": 4.0}, ratio=0.75)
            telemetry.write("eval", step, loss=5.0 / step, tokens=999, interval=[4.0 / step, 6.0 / step])
            for layer, norm in ((0, 0.5), (1, 50.0)):
                telemetry.write("state_health", step, layer=layer, branch="rwkv", norm=norm + step, cosine=0.9)
    telemetry.write("state_health", 40, layer=0, branch=said, norm=1.0)
    telemetry.write("anomaly", 30, rule=said, message=said)
    telemetry.close("failed", message=said)
    return run


def judged(run: RunFolder, **other: Any) -> None:
    finding = Finding("loss", Status.FAIL, "4.0 nats", "below 3.5", 4.0, 999, (3.9, 4.1))
    facts = {
        "gate": "g3",
        "verdict": Verdict.of([finding], remedy="train longer"),
        "thresholds": {"gradient": {"passes_low": 0.75}},
        "thresholds_sha256": "d" * 64,
        "evidence": {"name": "training_progress", "sha256": "e" * 64, "values": {}},
        "source": Source(run="first", digests={"model": "abc"}, seed=7, commit="c" * 40),
        "time": "2026-01-01T00:00:00+00:00",
        **other,
    }
    append(run.gates_file, Stored(**facts))


def made(run: RunFolder, texts: Any = ()) -> str:
    return page(Facts.read(run), texts)


class TestPage:
    def test_it_shows_what_a_run_has(self, tmp_path: Path) -> None:
        run = trained(tmp_path)
        judged(run)
        found = made(run, [("no prompt", "Once upon a time")])
        seen = " ".join(Balance(found).texts)
        for said in (
            "Run first", "failed", "g3", "FAIL", "4.0 nats (n = 999, 95 % 3.9 to 4.1)", "below 3.5", "train longer",
            "training_progress, sha256 " + "e" * 64, "digest of model", "Share of the squared gradient norm",
            "Root mean square of the state", "Once upon a time", "model.width", "small.toml:3", "a spike",
            "step 30: a spike", "think train stage1 --preset",
        ):  # fmt: skip
            assert said in seen, said
        titles = [drawing.get("aria-label") for drawing in drawings(found)]
        assert titles[:3] == ["Loss, nats per token", "Gradient norm, before clipping", "Learning rate, of each step"]

    def test_nothing_is_fetched_and_no_script_runs(self, tmp_path: Path) -> None:
        found = made(trained(tmp_path, said=HOSTILE), [(HOSTILE, HOSTILE)])
        seen = Balance(found)
        assert seen.names.isdisjoint(
            {"script", "link", "img", "iframe", "object", "embed", "base", "form", "image", "use"}
        )
        assert all(not key.startswith("on") and key != "src" for key, _ in seen.attributes)
        assert all(value.startswith("#") for key, value in seen.attributes if key == "href")
        style = found[found.index("<style>") : found.index("</style>")]
        assert "url(" not in style
        assert "@import" not in style
        assert "default-src 'none'" in dict(seen.attributes)["content"] or any(
            "default-src 'none'" in value for _, value in seen.attributes
        )

    def test_what_a_run_says_is_text_everywhere(self, tmp_path: Path) -> None:
        run = trained(tmp_path, said=HOSTILE)
        bad = HOSTILE.replace("\ud800", "")  # no file of verdicts can hold it
        judged(run, verdict=Verdict.cannot_tell(bad, remedy=bad), notes=(bad,), time=bad)
        found = made(run, [(HOSTILE, HOSTILE)])
        assert "<script" not in found
        assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e\ud800]", found)
        assert html.unescape(found).count("<script>alert(1)</script>") >= 8, "it is shown and not left out"
        assert drawings(found), "and breaks no drawing"
        found.encode()

    def test_equal_folders_give_equal_pages(self, tmp_path: Path) -> None:
        found = [made(trained(tmp_path / place / "runs")) for place in ("one", "other")]
        assert found[0] == found[1]

    def test_bounds_of_the_gradient_norm_are_those_it_was_judged_by(self, tmp_path: Path) -> None:
        run = trained(tmp_path)
        assert "g3 passes from 0.25" in made(run)
        judged(run)
        found = made(run)
        assert "g3 passes from 0.75" in found
        assert "g3 passes from 0.25" not in found

    @pytest.mark.parametrize(
        "content",
        [
            b"",
            b"\x00\x01 garbage \xff\n" * 50,
            b'{"kind": "step", "step": 1, "loss"',
            b'{"kind":"step","step":1,"loss":{"a":[]},"gradient_norm":"NaN"}\n',
            b'{"kind":"state_health","step":3,"layer":"inf","branch":7}\n{"kind":"anomaly"}\n{"kind":"eval","step":1}\n',
            b'{"kind":"eval","step":1,"loss":1.0,"interval":[1e999,"x"]}\n{"kind":"log","level":"error","dropped":1e300}\n',
            b'{"kind":"run_start","digests":[1],"resumed_from_step":{}}\n{"kind":"component_gradients","norms":{"a":"b"}}\n',
            b'{"kind":"step","step":99999999999999999999,"loss":1e308}\n{"kind":"step","step":-5,"loss":-1e308}\n',
        ],
        ids=["empty", "garbage", "torn", "no numbers", "no places", "infinite", "no objects", "extremes"],
    )
    def test_telemetry_that_is_none_gives_a_page_all_the_same(self, tmp_path: Path, content: bytes) -> None:
        run = RunFolder(tmp_path / "odd")
        run.path.mkdir()
        (run.path / "telemetry-0001.jsonl").write_bytes(_whole(content))
        run.settings_file.write_bytes(b"[model\n")
        run.plan_file.write_bytes(b"[]")
        run.gates_file.write_bytes(b"garbage\n{}\n")
        found = made(run)
        seen = " ".join(Balance(found).texts)
        assert "settings.toml is no settings file" in seen
        assert "2 lines of gates.jsonl are no verdicts" in seen
        for drawing in drawings(found):
            assert "nan" not in ElementTree.tostring(drawing, encoding="unicode")

    def test_damage_is_said(self, tmp_path: Path) -> None:
        run = trained(tmp_path)
        with open(run.path / "telemetry-0001.jsonl", "ab") as file:
            file.write(b"garbage\n{torn")
        assert "1 telemetry lines were no records" in made(run)

    def test_a_page_that_cannot_be_written_leaves_the_old_one(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        run, file = trained(tmp_path), tmp_path / "run.html"
        write(Facts.read(run), file)
        before = file.read_bytes()

        def full(path: Path, data: bytes) -> None:
            path.write_bytes(data[:10])
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(durable, "write_synced", full)
        with pytest.raises(InputOutput, match="No space left"):
            write(Facts.read(run), file, [("changed", "changed")])
        assert file.read_bytes() == before
        assert list(tmp_path.glob(".run*")) == []
        with pytest.raises(InputOutput):
            write(Facts.read(run), tmp_path / "nowhere" / "run.html")


def _whole(content: bytes) -> bytes:
    """Records with the fields that every record has."""
    lines = []
    for number, line in enumerate(content.split(b"\n")):
        try:
            record = json.loads(line)
        except ValueError:
            lines.append(line)
            continue
        usual = {"v": 1, "run": "odd", "seq": number, "time": 1.0, "mono": 1.0}
        lines.append(json.dumps(usual | record).encode())
    return b"\n".join(lines)


def drawn(chart: Chart) -> ElementTree.Element:
    (drawing,) = drawings(chart.svg())
    return drawing


def line(*values: float) -> Series:
    return Series(np.arange(1, len(values) + 1), np.array(values, dtype=np.float64))


class TestChart:
    @given(
        st.lists(st.floats(allow_nan=True, allow_infinity=True), min_size=1, max_size=40),
        st.booleans(),
        st.booleans(),
        st.floats(allow_nan=False, allow_infinity=False),
    )
    def test_all_of_it_lies_inside_its_frame(
        self, values: list[float], logarithmic: bool, from_zero: bool, level: float
    ) -> None:
        chart = Chart(
            "t", "u", {"a": line(*values)}, (1, len(values)), [Level(level, "l")], logarithmic=logarithmic,
            from_zero=from_zero,
        )  # fmt: skip
        for element in drawn(chart).iter():
            for name, most in (
                ("x", WIDTH),
                ("x1", WIDTH),
                ("cx", WIDTH),
                ("y", HEIGHT),
                ("y2", HEIGHT),
                ("cy", HEIGHT),
            ):
                assert 0 <= float(element.get(name, "0")) <= most
            for pair in element.get("points", "").split():
                x, y = map(float, pair.split(","))
                assert 0 <= x <= WIDTH
                assert 0 <= y <= HEIGHT

    def test_a_spike_of_one_step_is_not_drawn_away(self) -> None:
        values = [1.0] * 5000
        values[2500] = 9.0
        drawing = drawn(Chart("t", "u", {"a": line(*values)}, (1, 5000)))
        band = next(element for element in drawing.iter() if element.tag == "polygon")
        heights = [float(pair.split(",")[1]) for pair in band.get("points", "").split()]
        assert min(heights) < HEIGHT * 0.2, "the spike is at the top"
        assert sorted(heights)[2] > HEIGHT * 0.7, "and alone there"

    def test_what_is_not_finite_is_a_cross_and_counted(self) -> None:
        chart = Chart("t", "u", {"a": line(1.0, math.nan, 2.0, math.inf)}, (1, 4))
        crosses = [element for element in drawn(chart).iter() if element.get("class") == "bad"]
        assert len(crosses) == 2
        assert "a, 2 not finite" in chart.svg()

    def test_higher_figures_lie_higher_on_both_scales(self) -> None:
        for logarithmic in (False, True):
            drawing = drawn(Chart("t", "u", {"a": line(1.0, 10.0, 100.0)}, (1, 3), logarithmic=logarithmic))
            dots = [float(element.get("cy", "0")) for element in drawing.iter() if element.tag == "circle"]
            assert dots == sorted(dots, reverse=True)
            gaps = np.diff(dots)
            assert math.isclose(gaps[0], gaps[1], rel_tol=0.01) is logarithmic

    @given(st.floats(-1e200, 1e200), st.floats(1e-6, 1e200), st.booleans(), st.integers(3, 9))
    def test_ticks_are_few_and_inside(self, low: float, span: float, logarithmic: bool, most: int) -> None:
        scale = over([abs(low) + 1e-9 if logarithmic else low, abs(low) + span], 0, 100, logarithmic=logarithmic)
        ticks = scale.ticks(most)
        assert len(ticks) <= most + 3
        slack = (scale.high - scale.low) * 1e-9
        assert all(scale.low - slack <= tick <= scale.high + slack for tick in ticks)
        assert ticks == sorted(ticks)


class TestHeat:
    def test_the_highest_is_full_the_lowest_faint_and_the_infinite_bad(self) -> None:
        (drawing,) = drawings(heat("h", ["0 rwkv", "1 rwkv"], [{1: 0.0, 2: 4.0}, {1: 2.0, 2: math.inf}]))
        cells = [element for element in drawing.iter() if element.tag == "rect"]
        assert [cell.get("fill-opacity") for cell in cells] == ["0.08", "1", "0.54", None]
        assert cells[3].get("class") == "bad"

    def test_a_logarithmic_colour_tells_small_ones_apart(self) -> None:
        (drawing,) = drawings(heat("h", ["a"], [{1: 0.01, 2: 1.0, 3: 100.0, 4: 0.0}], logarithmic=True))
        assert [cell.get("fill-opacity") for cell in drawing.iter() if cell.tag == "rect"] == [
            "0.08",
            "0.54",
            "1",
            "0.08",
        ]

    def test_of_many_steps_the_first_and_last_are_shown_and_it_is_said(self) -> None:
        found = heat("h", ["a"], [dict.fromkeys(range(1, 1001), 1.0)])
        assert "60 of 1,000 steps" in found
        assert "step 1<" in found
        assert "step 1,000<" in found

    def test_nothing_to_show_is_nothing(self) -> None:
        assert heat("h", ["a"], [{}]) == ""


class TestMarkup:
    @given(st.text())
    def test_any_text_is_shown_as_it_is_or_as_escapes(self, said: str) -> None:
        seen = Balance(tag("p", said, of={"title": said}))
        assert seen.names == {"p"}
        assert [key for key, _ in seen.attributes] == ["title"]

    def test_markup_is_not_escaped_twice(self) -> None:
        assert tag("p", tag("b", "a < b")) == "<p><b>a &lt; b</b></p>"
        assert isinstance(text(Html("<b>")), Html)
