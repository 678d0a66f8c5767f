"""Which device do this engine's boxes get, and what of it is on this machine? Read from policy/devices.toml.

A box cannot make a device node (its namespaces and its filter refuse it), so the nodes that are mounted are all it can
ever open. Control groups have nothing to add: version 1's `devices` and version 2's programs matter only to whoever
runs the engine itself in a container, who has to let it have the nodes.
"""

from __future__ import annotations

import glob
import os
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sandbox.host.launching import LaunchFailed
from sandbox.host.seccomp import POLICY

DEVICES = POLICY / "devices.toml"


class DeviceMissing(LaunchFailed):
    """The device is not on this machine, or nothing is known of it; the text says which, for users and operators."""


@dataclass(frozen=True, eq=False)
class Device:
    """What a box gets of it. Paths are of this machine and of the box alike."""

    name: str
    units: tuple[str, ...]  # each for one box at a time
    nodes: tuple[str, ...]
    libraries: tuple[str, ...]
    environment: dict[str, str]
    preload: tuple[str, ...]
    processes: bool  # whether the box has a /proc, of its own processes
    cluster_name: str
    allow: tuple[dict[str, Any], ...]
    when: tuple[dict[str, Any], ...]

    def others(self, unit: str | None) -> tuple[str, ...]:
        return tuple(each for each in self.units if each != unit)

    @property
    def sockets(self) -> bool:
        """Whether its boxes may make sockets, and so need a network that no other box is in."""
        return any("socket" in rule.get("calls", rule.get("call", "")).split() for rule in (*self.allow, *self.when))

    def mounts(self, units: tuple[str, ...]) -> list[tuple[str, str]]:
        return [(path, path) for path in (*self.libraries, *self.nodes, *units)]


class Units:
    """Who has which: a unit belongs to one box from before it is made until nothing is left of its program."""

    def __init__(self, device: Device) -> None:
        self._free = list(device.units)

    def take(self) -> str:
        if not self._free:
            raise DeviceMissing("every one of them is in use")
        return self._free.pop(0)

    def give_back(self, unit: str) -> None:
        self._free.append(unit)


def find(name: str, file: Path = DEVICES, here: bool = True) -> Device:
    """here: on this machine, whose nodes are looked for; in a cluster they are on whichever node has them."""
    with file.open("rb") as opened:
        policy = tomllib.load(opened).get(name)
    if policy is None:
        raise DeviceMissing(f"The device {name} is not in {file}.")
    units = _found(policy["units"]) if here else ()
    if here and not units:
        raise DeviceMissing(f"There is no {name} on this machine: {', '.join(policy['units'])} is not there.")
    return Device(
        name=name,
        units=units,
        nodes=_found(policy["nodes"]) if here else (),
        libraries=tuple(path for path in _found(policy["libraries"]) if not path.startswith("/usr/lib/")),
        environment=policy.get("environment", {}),
        preload=tuple(policy.get("preload", ())),
        processes=policy.get("processes", False),
        cluster_name=policy.get("kubernetes", ""),
        allow=tuple(policy.get("allow", ())),
        when=tuple(policy.get("when", ())),
    )


def _found(patterns: list[str]) -> tuple[str, ...]:
    paths = {os.path.realpath(path) for pattern in patterns for path in glob.glob(pattern)}
    return tuple(sorted(paths))
