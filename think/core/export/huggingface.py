"""A trained model as a folder in the style of Hugging Face; `think.load` reads it again.

model.safetensors   the weights, under the names that the model gives them; a tied table once
config.json         the usual keys, and under `think` everything needed to build the model again
tokenizer.json      as the `tokenizers` library reads it
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from think.core.data.tokenizer import BOS, EOS, FILE_NAME, PAD, Tokenizer
from think.core.durable import sha256_of, write_synced
from think.core.errors import BadData
from think.core.export import new_folder
from think.core.settings import RunSettings

FORMAT = 1
WEIGHTS, CONFIG = "model.safetensors", "config.json"


@dataclass(frozen=True)
class Exported:
    """What such a folder holds. step: optimizer steps behind the weights; None where it is not recorded."""

    settings: RunSettings
    tensors: dict[str, Tensor]
    tokenizer: Tokenizer
    step: int | None


def export(
    out: Path, *, settings: RunSettings, tensors: Mapping[str, Tensor], tokenizer: Tokenizer, step: int | None
) -> Path:
    """Write the folder, which must be new or empty. Raises UsageError or InputOutput."""
    with new_folder(out) as folder:
        plain = {name: tensor.detach().to("cpu").contiguous() for name, tensor in tensors.items()}
        try:
            save_file(plain, folder / WEIGHTS, metadata={"format": "pt"})
        except SafetensorError as error:
            raise OSError(str(error)) from error
        (folder / WEIGHTS).chmod(0o644)  # it comes readable for its owner only
        tokenizer.save(folder)
        config = _config(settings, tensors, tokenizer, step)
        config["think"]["sha256"] = {name: sha256_of(folder / name) for name in (WEIGHTS, FILE_NAME)}
        write_synced(folder / CONFIG, json.dumps(config, indent=2).encode() + b"\n")
    return out


def is_export(folder: Path) -> bool:
    """Whether the folder was written by `export`, as far as its file names tell."""
    return (folder / CONFIG).is_file() and (folder / WEIGHTS).is_file()


def read(folder: Path) -> Exported:
    """Read such a folder. Raises BadData when a file is damaged or was made by something else."""
    config = _read_config(folder / CONFIG)
    for name, digest in config["sha256"].items():
        try:
            damaged = sha256_of(folder / name) != digest
        except OSError as error:
            raise _unfit(folder / name, f"cannot be read: {error.strerror}") from error
        if damaged:
            raise _unfit(folder / name, "does not match its sha256")
    try:
        settings = RunSettings.model_validate_json(json.dumps(config["settings"]))
        tensors = load_file(folder / WEIGHTS)
    except ValidationError as error:
        raise _unfit(folder / CONFIG, f"has settings of another version: {error.errors()[0]['msg']}") from error
    except (SafetensorError, OSError) as error:
        raise _unfit(folder / WEIGHTS, f"cannot be read: {error}") from error
    return Exported(settings, tensors, Tokenizer.load(folder), config["step"])


def _config(
    settings: RunSettings, tensors: Mapping[str, Tensor], tokenizer: Tokenizer, step: int | None
) -> dict[str, Any]:
    kinds = {str(tensor.dtype).removeprefix("torch.") for tensor in tensors.values() if tensor.is_floating_point()}
    return {
        "architectures": ["Thinking"],
        "model_type": "think",
        "dtype": kinds.pop() if len(kinds) == 1 else "float32",
        "vocab_size": settings.model.vocabulary,
        "hidden_size": settings.model.width,
        "num_hidden_layers": settings.model.layers,
        "tie_word_embeddings": settings.model.tied,
        "pad_token_id": PAD,
        "bos_token_id": BOS,
        "eos_token_id": EOS,
        "think": {
            "format": FORMAT,
            "step": step,
            "tokenizer_size": tokenizer.size,
            "settings": settings.model_dump(mode="json"),
        },
    }


def _read_config(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))["think"]
        if found["format"] != FORMAT:
            raise _unfit(path, f"has format {found['format']!r}, this version reads {FORMAT}")
        needed: dict[str, Any] = {name: found[name] for name in ("settings", "sha256", "step")}
    except OSError as error:
        raise _unfit(path, f"cannot be read: {error.strerror}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise _unfit(path, "was not written by `think runs export`") from error
    return needed


def _unfit(path: Path, how: str) -> BadData:
    return BadData(
        how,
        where=str(path),
        expected="a folder as `think runs export --to huggingface` writes it",
        remedy="export the run again",
    )
