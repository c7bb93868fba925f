"""What is packed, how it is cut into documents, and how much is held out."""

from typing import TYPE_CHECKING, Annotated, Any, Union

from pydantic import Field, PositiveInt

from think.core import plugins
from think.core.data.sources import Cut, SourceSettings
from think.core.data.tokenizer import BpeSettings, TokenizerSettings
from think.presets.base import Settings, knob

FAMILY = "think.core.data.sources"

if TYPE_CHECKING:
    SourceChoice = SourceSettings
else:
    # The folder is the registry: the union holds whatever source files there are.
    _CLASSES = tuple(plugins.load(FAMILY, name).Settings for name in plugins.names(FAMILY))
    SourceChoice = Annotated[Union[_CLASSES], Field(discriminator="kind")]  # noqa: UP007 - built from a tuple


def _embedded() -> tuple[Any, ...]:
    """The corpus that needs no file and no network."""
    return (plugins.load(FAMILY, "stories").Settings(),)


class DataSettings(Settings):
    """The packed corpus of a run."""

    path: str = knob("data/default", acts_on="data")
    "folder of the packed corpus"
    split_on: Cut = knob("file", acts_on="data")
    "where text files are cut into documents: file, blank_line, or record (a line); elsewhere a record is a document"
    validation: Annotated[float, Field(ge=0.0, lt=1.0)] = knob(0.1, acts_on="data")
    "share of the documents held out, of the text where a source has fewer than 20 documents"
    shard_tokens: PositiveInt = knob(1 << 26, acts_on="data")
    "tokens in a shard; only the last one of a split is shorter"
    sources: tuple[SourceChoice, ...] = Field(
        default_factory=_embedded, json_schema_extra={"acts_on": "data", "may_change_on_resume": False}
    )
    "what is packed, in this order; with weights they are mixed"


class CorpusSettings(Settings):
    """What packing needs when no preset is named."""

    tokenizer: TokenizerSettings = Field(default_factory=BpeSettings)
    "how text becomes token ids"
    data: DataSettings = Field(default_factory=DataSettings)
    "what is packed, and where it lies"
