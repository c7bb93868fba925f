"""Which curves a run is judged by."""

import pytest

from tests.tui import scene
from think.tui.widgets.curves import main_plots


@pytest.mark.parametrize(
    ("stage", "units"),
    [
        ("stage1", ["nats/token", "nats/token", "", "", "tokens/s"]),
        (None, ["nats/token", "nats/token", "", "", "tokens/s"]),
        ("stage3", ["", "", "", "", "rows/s"]),
    ],
)
def test_the_stage_says_what_is_counted(stage: str | None, units: list[str]) -> None:
    plots = [plot for key, plot in main_plots(scene.run(scene.row(stage=stage))) if key != "shares"]
    assert [plot.unit for plot in plots] == units
