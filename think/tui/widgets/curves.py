"""Which curves a run shows, how they are called, and the keys that change how they are drawn."""

from think.tui.keys import Action
from think.tui.screens import Context, Turn
from think.tui.view import RunView
from think.tui.widgets.chart import Curve, Look, Plot

MAIN = (
    ("step.loss", "training loss", "nats/token"),
    ("eval.loss", "held-out loss", "nats/token"),
    ("step.learning_rate", "learning rate", ""),
    ("step.gradient_norm", "gradient norm", ""),
    ("step.tokens_per_second", "throughput", "tokens/s"),
)
"Name of the curve, title, unit."

EXAMPLES = (*((name, title, "") for name, title, _ in MAIN[:4]), ("step.rows_per_second", "throughput", "rows/s"))
"The same of a stage after the first, whose loss is a sum of several and whose data are no tokens."

SHARES = "component gradient shares"
SHARED = "component_gradients.norms."
"Beginning of the names of the curves that the plot of shares is made of."
ROLES = ("first", "second", "third", "info", "bad", "strong")

TURNS = (
    Turn(Action("curves.scale", ("y",), "Logarithmic or linear values", 60, "log"), "log", ("linear", "logarithmic")),
    Turn(
        Action("curves.smooth", ("s",), "Smooth the curves, or not", 61, "smooth"),
        "smooth",
        ("as recorded", "smoothed"),
    ),
    Turn(Action("curves.axis", ("x",), "Steps or time on the horizontal axis", 62, "time"), "time", ("steps", "time")),
)


def look(context: Context) -> Look:
    return Look(
        logarithmic=context.option("log") == 1,
        smooth=context.option("smooth") == 1,
        by_time=context.option("time") == 1,
    )


def main_plots(run: RunView) -> list[tuple[str, Plot]]:
    """Key and plot of the curves that every run is judged by; those that were not recorded yet are there too."""
    plots = []
    for name, title, unit in MAIN if run.row.stage in (None, "stage1") else EXAMPLES:
        curve = run.curve(name)
        limits = tuple(limit for limit in run.limits if limit.curve == name)
        plots.append((name, Plot(title, (Curve(curve),) if curve is not None else (), unit, limits)))
    if run.shares:
        plots.append(("shares", Plot(SHARES, _shares(run), "")))
    return plots


def plot_of(run: RunView, key: str) -> Plot | None:
    """The plot of a key, of the main ones or of any curve by its name; None where there is none (any more)."""
    for name, plot in main_plots(run):
        if name == key:
            return plot
    curve = run.curve(key)
    limits = tuple(limit for limit in run.limits if limit.curve == key)
    return None if curve is None else Plot(key, (Curve(curve),), "", limits)


def further(run: RunView) -> list[str]:
    """The names of all other curves. None of them is looked at, for many are made only when they are."""
    known = {name for name, _, _ in (*MAIN, *EXAMPLES)}
    return sorted(name for name in run.curves if name not in known and not name.startswith(SHARED))


def _shares(run: RunView) -> tuple[Curve, ...]:
    """The components by their latest share, the largest first."""
    found = sorted(run.shares.items(), key=lambda pair: -(pair[1].latest or 0.0))
    return tuple(Curve(series, ROLES[number % len(ROLES)], name) for number, (name, series) in enumerate(found))
