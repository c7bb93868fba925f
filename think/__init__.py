"""A terminal laboratory for small language models that think.

    import think
    thinker = think.load("runs/first")        model, tokenizer and settings of a run, a checkpoint or an export
    print(thinker.generate("Once upon a time"))

`load` arrives with its first use, so that importing the package loads no torch.
"""

from typing import Any

__all__ = ["load"]


def __getattr__(name: str) -> Any:
    if name == "load":
        from think.core.assembled import load

        return load
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*globals(), *__all__]
