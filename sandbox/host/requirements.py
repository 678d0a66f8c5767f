"""Which packages does a project ask for? `# requirements:` lines in its entry, and its requirements.txt."""

from __future__ import annotations

import io
import re
import tokenize
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from packaging.markers import UndefinedEnvironmentName
from packaging.requirements import InvalidRequirement, Requirement
from packaging.version import Version

from sandbox.host.package_rules import PackageRefused, normal_name

FIELD = "requirements.txt"
BASE_REQUIREMENTS = Path(__file__).resolve().parent.parent / "requirements.txt"
MAX_REQUIREMENTS = 40
MAX_LENGTH = 300  # of one
MAX_TOKENIZED_CHARACTERS = 128_000  # beyond, a line of that form counts wherever it stands
_COMPARISON = re.compile(r"\s*[<>=!~]")
LONGEST_NAME = 100
SDIST = "--sdist"

_LINE = re.compile(r"^#\s*requirements?\s*:\s*(.*)$", re.IGNORECASE)
_COMMENT = re.compile(r"(^|\s)#.*$")
_OPTION = re.compile(r"(?:^|\s)(--?[A-Za-z][\w-]*)")
_HASH = re.compile(r"--hash[=\s]\S+")
_VERSION_CONTROL = re.compile(r"\b(git|hg|svn|bzr)\+", re.IGNORECASE)


@dataclass(frozen=True)
class Asked:
    """One requirement as it was written, and where."""

    requirement: Requirement
    from_source: bool  # --sdist: may be built from source, in a box
    place: str  # "main.py, line 3"

    @property
    def name(self) -> str:
        return normal_name(self.requirement.name)

    @property
    def text(self) -> str:
        """As it is written into a list of requirements: the same for every spelling of the same wish."""
        wish = self.requirement
        extras = f"[{','.join(sorted(wish.extras))}]" if wish.extras else ""
        marker = f"; {wish.marker}" if wish.marker else ""
        versions = ",".join(sorted(str(wish.specifier).split(","))) if wish.specifier else ""
        return f"{self.name}{extras}{versions}{marker}" + (f" {SDIST}" if self.from_source else "")


def requirements_of(files: dict[str, str], entry: str) -> list[Asked]:
    """Everything asked for, in order, each name once. Raises PackageRefused for what is no plain requirement."""
    asked: dict[str, Asked] = {}
    for place, text in _written(files, entry):
        one = parse(text, place)
        before = asked.get(one.name)
        if before is not None and before.text != one.text:
            raise PackageRefused(
                one.requirement.name,
                f"{one.requirement.name} is asked for twice, in {before.place} and in {place}, and not in the same "
                "way. Keep one of the two.",
            )
        asked.setdefault(one.name, one)
    if len(asked) > MAX_REQUIREMENTS:
        raise PackageRefused("", f"{len(asked)} packages are asked for; {MAX_REQUIREMENTS} is the most. Name fewer.")
    return [one for one in asked.values() if _applies(one.requirement)]


def parse(text: str, place: str) -> Asked:
    """One requirement (PEP 508), with the word --sdist behind it where a source distribution is wanted."""
    text = text.strip()
    shown = text if len(text) <= 80 else text[:77] + "..."
    if len(text) > MAX_LENGTH:
        raise PackageRefused("", f"The requirement “{shown}” in {place} is too long.")
    words = text.split()
    from_source = SDIST in words
    if from_source:
        text = " ".join(word for word in words if word != SDIST)
    if _VERSION_CONTROL.search(text):
        raise _cannot(shown, place, "packages come from the package index, not from version control")
    if "://" in text or re.search(r"\s@\s|^[\w.-]+(\[[^\]]*\])?@", text):
        raise _cannot(shown, place, "packages come from the package index by name, not from an address")
    if text.startswith((".", "/", "~")) or text.endswith((".whl", ".tar.gz", ".zip")) or "\\" in text:
        raise _cannot(shown, place, "packages come from the package index by name, not from a file")
    if _HASH.search(text):
        raise _cannot(shown, place, "hashes are recorded by the site; leave --hash away")
    option = _OPTION.search(text)
    if option:
        raise _cannot(shown, place, f"the option {option.group(1)} is not taken here; only {SDIST} is")
    try:
        requirement = Requirement(text)
    except InvalidRequirement:
        raise _cannot(shown, place, "it is not a requirement such as polars or arch>=7,<9") from None
    if len(requirement.name) > LONGEST_NAME:
        raise _cannot(shown, place, "its name is too long")
    for specifier in requirement.specifier:
        if specifier.operator == "===":
            raise _cannot(shown, place, "write == instead of ===")
    try:
        _applies(requirement)
    except (ValueError, TypeError, LookupError):
        raise _cannot(shown, place, "nobody can tell when its condition, after the semicolon, holds") from None
    return Asked(requirement, from_source, place)


def with_requirement(files: dict[str, str], entry: str, names: list[str]) -> dict[str, str]:
    """The files with these names asked for: in requirements.txt where there is one, else in a line of the entry."""
    if files.get(FIELD, "").strip():
        return {**files, FIELD: files[FIELD].rstrip("\n") + "\n" + "".join(f"{name}\n" for name in names)}
    lines = files.get(entry, "").splitlines(keepends=True)
    for number in _comment_lines(files.get(entry, "")):
        if _LINE.match(lines[number - 1].rstrip("\r\n")):
            line = lines[number - 1].rstrip()
            lines[number - 1] = f"{line}{'' if line.endswith((':', ',')) else ','} {', '.join(names)}\n"
            return {**files, entry: "".join(lines)}
    # A line that says how the file is to be read or run must stay the first.
    at = 1 if lines and (lines[0].startswith("#!") or re.match(r"#.*coding[:=]", lines[0])) else 0
    lines.insert(at, f"# requirements: {', '.join(names)}\n")
    return {**files, entry: "".join(lines)}


@lru_cache(maxsize=4)
def base_versions(path: Path = BASE_REQUIREMENTS) -> dict[str, Version]:
    """What every box has, with the version it is pinned to."""
    versions = {}
    for line in path.read_text().splitlines():
        text = _COMMENT.sub("", line).strip()
        if text:
            name, _, version = text.partition("==")
            versions[normal_name(name)] = Version(version)
    return versions


def _written(files: dict[str, str], entry: str) -> list[tuple[str, str]]:
    found = []
    source = files.get(entry, "")
    lines = source.split("\n")
    for number in _comment_lines(source):
        match = _LINE.match(lines[number - 1].rstrip())
        if match:
            for part in _split(match.group(1)):
                found.append((f"{entry}, line {number}", part))
    for number, line in enumerate(files.get(FIELD, "").splitlines(), start=1):
        text = _COMMENT.sub("", line).strip()
        if text:
            found.append((f"{FIELD}, line {number}", text))
    return found


def _split(text: str) -> list[str]:
    """At the commas between requirements; not at those of `arch>=7,<9` or inside brackets."""
    parts: list[str] = []
    depth = begin = 0
    for position, character in enumerate(text):
        depth += (character in "[(") - (character in "])")
        if character == "," and depth == 0 and not _COMPARISON.match(text, position + 1):
            parts.append(text[begin:position])
            begin = position + 1
    return [part.strip() for part in [*parts, text[begin:]] if part.strip()]


def _comment_lines(source: str) -> list[int]:
    """Numbers of the lines that are comments from their first column; a line inside a text in quotes is none."""
    looks = [number for number, line in enumerate(source.split("\n"), start=1) if _LINE.match(line.rstrip())]
    if not looks or len(source) > MAX_TOKENIZED_CHARACTERS:
        return looks
    comments: set[int] = set()
    try:
        for token in tokenize.generate_tokens(io.StringIO(source).readline):
            if token.type == tokenize.COMMENT and token.start[1] == 0:
                comments.add(token.start[0])
    except (tokenize.TokenError, SyntaxError):
        return looks  # magics, or a mistake that the run will tell
    return [number for number in looks if number in comments]


def _applies(requirement: Requirement) -> bool:
    if requirement.marker is None:
        return True
    try:
        return requirement.marker.evaluate()
    except UndefinedEnvironmentName:
        return True


def _cannot(shown: str, place: str, why: str) -> PackageRefused:
    return PackageRefused("", f"“{shown}” in {place} cannot be installed: {why}.")
