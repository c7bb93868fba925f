"""What a pack holds, in numbers and a few samples."""

from typing import Any

import numpy as np

from think.core.data.manifest import SplitName
from think.core.data.store import Packed, Split

SAMPLE_TOKENS = 64
"""Tokens shown of each sampled document: enough to recognise it."""

_QUANTILES = {"shortest": 0.0, "quarter": 0.25, "median": 0.5, "three_quarters": 0.75, "longest": 1.0}


def facts(packed: Packed) -> dict[str, Any]:
    """Counts, lengths and sources of a pack, as JSON data."""
    manifest = packed.manifest
    return {
        "folder": str(packed.path),
        "digest": packed.digest,
        "dtype": manifest.dtype,
        "split_on": manifest.split_on,
        "shard_tokens": manifest.shard_tokens,
        "tokenizer": manifest.tokenizer.model_dump(),
        "splits": {name: _split(packed.split(name), len(record.shards)) for name, record in manifest.splits.items()},
        "sources": [source.model_dump(mode="json") for source in manifest.sources],
    }


def _split(split: Split, shards: int) -> dict[str, Any]:
    lengths = split.ends - split.starts
    return {
        "tokens": split.tokens,
        "documents": split.documents,
        "shards": shards,
        "masked": split.masked,
        "document_tokens": {
            "mean": float(lengths.mean()),
            **{name: float(np.quantile(lengths, share)) for name, share in _QUANTILES.items()},
        },
    }


def samples(packed: Packed, name: SplitName, count: int) -> list[dict[str, Any]]:
    """The beginnings of a few documents, spread evenly over a split, decoded with their control tokens visible."""
    split, tokenizer = packed.split(name), packed.tokenizer
    found = []
    for document in np.unique(np.linspace(0, split.documents - 1, count).astype(int)):
        start, end = int(split.starts[document]), int(split.ends[document])
        ids = split.read(start, min(end, start + SAMPLE_TOKENS))
        text = tokenizer.decode(ids.tolist(), control=True)
        found.append({"split": name, "document": int(document), "tokens": end - start, "text": text})
    return found
