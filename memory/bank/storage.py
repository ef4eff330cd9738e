"""A codec, and codes, as a folder of .npy files and a small JSON; arrays are memory-mapped when they are loaded.

A folder is written whole under another name and renamed, so there is never half of one. A codec that is loaded is the
one that was saved: its digest is computed again and compared.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast
from uuid import uuid4

import numpy as np

from errors import BankError
from memory.bank.codec import Codec, Codes
from memory.bank.residual import ResidualCodec
from memory.bank.scalar import ExactCodec, PcaInt8Codec

FORMAT = 1
_KINDS = {codec.kind: codec for codec in (ExactCodec, PcaInt8Codec, ResidualCodec)}
_META = "codec.json"
_CODES = "codes.npy"


def save_codec(codec: Codec, folder: Path, before_rename: Callable[[], None] = lambda: None) -> None:
    """Write the codec to ``folder``, replacing what is there; a saved one goes on learning like the original.

    ``before_rename`` is called when all is on the disk under a temporary name.
    """
    values, arrays = codec.state()
    meta = {"format": FORMAT, "kind": codec.kind, "digest": codec.digest, "values": values, "arrays": sorted(arrays)}
    fresh = folder.with_name(f".{folder.name}-{uuid4().hex}")
    fresh.mkdir(parents=True)
    for name, array in arrays.items():
        np.save(fresh / f"{name}.npy", array, allow_pickle=False)
    (fresh / _META).write_text(json.dumps(meta, indent=1), encoding="utf-8")
    before_rename()
    if folder.exists():
        shutil.rmtree(folder)
    fresh.replace(folder)


def load_codec(folder: Path) -> Codec:
    """The codec that was saved in ``folder``.

    Raises:
        BankError: there is none, it is damaged, or another release wrote it.
    """
    meta = _read_meta(folder)
    try:
        arrays = {name: np.load(folder / f"{name}.npy", mmap_mode="r") for name in meta["arrays"]}
        codec = cast(Codec, _KINDS[meta["kind"]].of_state(meta["values"], arrays))
        digest = codec.digest
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _damaged(folder) from error
    if digest != meta["digest"]:
        raise _damaged(folder)
    return codec


def save_codes(codes: Codes, folder: Path) -> None:
    """Write the codes beside each other into ``folder``, with their version."""
    fresh = folder.with_name(f".{folder.name}-{uuid4().hex}")
    fresh.mkdir(parents=True)
    np.save(fresh / _CODES, codes.array, allow_pickle=False)
    (fresh / _META).write_text(json.dumps({"format": FORMAT, "version": codes.version}), encoding="utf-8")
    if folder.exists():
        shutil.rmtree(folder)
    fresh.replace(folder)


def load_codes(folder: Path) -> Codes:
    """The codes that were saved in ``folder``, memory-mapped.

    Raises:
        BankError: there are none, they are damaged, or another release wrote them.
    """
    meta = _read_meta(folder)
    try:
        array = np.load(folder / _CODES, mmap_mode="r")
        return Codes(array, meta["version"])
    except (OSError, ValueError, KeyError) as error:
        raise _damaged(folder) from error


def _read_meta(folder: Path) -> dict[str, Any]:
    try:
        meta = json.loads((folder / _META).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise _damaged(folder) from error
    if not isinstance(meta, dict) or meta.get("format") != FORMAT:
        raise BankError(
            f"{folder} is not of format {FORMAT}, which this memlake reads.", "Learn and encode the bank again."
        )
    return meta


def _damaged(folder: Path) -> BankError:
    return BankError(f"{folder} holds no bank that can be read.", "Learn and encode the bank again.")
