"""Prompts as versioned files: ``NAME.md`` beside this module.

A file holds what the model is told; below a line ``---`` it may hold notes for its readers, which are not sent. The
version is a hash of what is sent, so whoever changes a prompt need not remember to count it up, and a note costs no
recomputation.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable

from errors import ModelError


@dataclass(frozen=True, slots=True)
class Prompt:
    """What a model is told before it sees an input."""

    name: str
    system: str

    @property
    def version(self) -> str:
        """Twelve hexadecimal digits that change with every change of the text."""
        return hashlib.blake2b(self.system.encode(), digest_size=6).hexdigest()


def load_prompt(name: str, folder: Traversable | None = None) -> Prompt:
    """The prompt of a file.

    Args:
        name: of the file, without its suffix; lower-case letters, digits and underscores.
        folder: of other prompts than those that are shipped.

    Raises:
        ModelError: there is no such prompt, or nothing is in it.
    """
    place = folder or files(__package__)
    known = sorted(item.name.removesuffix(".md") for item in place.iterdir() if item.name.endswith(".md"))
    if name not in known:
        raise ModelError(f"There is no prompt named '{name}'.", f"Known are: {', '.join(known) or 'none'}.")
    content = (place / f"{name}.md").read_text(encoding="utf-8").replace("\r\n", "\n")
    system = re.split(r"^---[ \t]*$", content, maxsplit=1, flags=re.MULTILINE)[0].strip()
    if not system:
        raise ModelError(f"The prompt '{name}' is empty.", "Write what the model is to do above the line of dashes.")
    return Prompt(name, system)
