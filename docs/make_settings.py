"""Write docs/settings.md from the settings themselves.

python docs/make_settings.py
"""

from __future__ import annotations

from pathlib import Path

from warehouse.settings_template import render_template

FILE = Path(__file__).parent / "settings.md"


def text() -> str:
    """The page."""
    return f"""# Settings

One file, `memlake.toml`, found in the working folder or one above it, or named by `--config` or `MEMLAKE_CONFIG`.
Relative paths are taken from the file's folder. An unknown key is an error that names the nearest known one.

An environment variable overrides a key: `MEMLAKE_`, the table, two underscores, the key, as in
`MEMLAKE_RETRIEVAL__K=20` or `MEMLAKE_RETRIEVAL__FUSION__HOP_WEIGHT=0.3`. Secrets are never settings: `OPENAI_API_KEY`
and the cloud providers' own variables are read from the environment.

`memlake init` writes this:

```toml
{render_template()}```
"""


if __name__ == "__main__":
    FILE.write_text(text(), encoding="utf-8")
