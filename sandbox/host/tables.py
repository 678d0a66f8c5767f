"""Which files of packages are others in a box? Those that the site has made for one snapshot, mounted over what
packages brought: a program that is run again on other data does not find the real ones there.

<store>/tables/<snapshot>/env/...     over files of the environment, by their paths in it
<store>/tables/<snapshot>/layer/...   over files of the run's own packages
"""

from __future__ import annotations

import os
from pathlib import Path

from sandbox.protocol import TABLES

__all__ = ["mounts"]

PLACES = {"env": "/opt/env", "layer": "/opt/layer"}


def mounts(store: Path, snapshot: str) -> tuple[tuple[str, str], ...]:
    """Of each file the path below the store and the one in the box; most snapshots have none."""
    found = []
    for part, place in PLACES.items():
        base = store / TABLES / snapshot / part
        for folder, _, names in os.walk(base):
            for path in (Path(folder, name) for name in names):
                found.append((str(path.relative_to(store)), f"{place}/{path.relative_to(base)}"))
    return tuple(found)
