"""Two calm themes, and the names by which a person asks for one."""

from textual.theme import Theme

DARK = Theme(
    name="think-dark",
    dark=True,
    background="#14171c",
    surface="#1a1e25",
    panel="#20252d",
    foreground="#d5dae2",
    primary="#6cb2f2",
    secondary="#8fa3b8",
    warning="#e3b341",
    error="#f07178",
    success="#7ec699",
    accent="#b39ddb",
)

LIGHT = Theme(
    name="think-light",
    dark=False,
    background="#fbfbf9",
    surface="#f1f2f0",
    panel="#e6e8e6",
    foreground="#24292f",
    primary="#0a5ea8",
    secondary="#57606a",
    warning="#8a5a00",
    error="#b3261e",
    success="#1a6b3a",
    accent="#6c4bb0",
)

SHORT = {"dark": DARK.name, "light": LIGHT.name}


def full_name(name: str) -> str:
    """dark and light are ours; any other name is one of Textual's."""
    return SHORT.get(name, name)
