"""Models: `build(settings)` gives one, `State` is what it carries."""

from think.core.models.state import State
from think.core.models.thinking import Settings, Thinking, build

__all__ = ["Settings", "State", "Thinking", "build"]
