"""What does a project ask for, and what does it import without asking? By reading its files, and nothing else."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from sandbox.host.imports import _is_cheap_to_parse, distribution_of, missing_imports
from sandbox.host.package_names import check_name, imitated, popular_names
from sandbox.host.package_rules import PackageRefused, PackageRules
from sandbox.host.requirements import base_versions, requirements_of, with_requirement
from tests.sandbox.conftest import ENVIRONMENT


def asked(source: str, field: str = "") -> list[str]:
    files = {"main.py": source} | ({"requirements.txt": field} if field else {})
    return [one.text for one in requirements_of(files, "main.py")]


def refusal(source: str, field: str = "") -> str:
    with pytest.raises(PackageRefused) as caught:
        asked(source, field)
    return caught.value.reason


def test_requirements_stand_in_comments_and_in_the_field() -> None:
    source = "# requirements: polars, arch>=7,<9\nimport polars\n# Requirements: tabulate[widechars]==0.9\n"
    field = "# the field\nnetworkx  # graphs\n\n"
    assert asked(source, field) == ["polars", "arch<9,>=7", "tabulate[widechars]==0.9", "networkx"]


def test_a_line_inside_a_text_asks_for_nothing() -> None:
    assert asked('"""\n# requirements: polars\n"""\n  # requirements: arch\n') == []


def test_a_requirement_for_another_system_is_left_out() -> None:
    assert asked("# requirements: pywin32; sys_platform == 'win32', polars") == ["polars"]


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("polars @ https://example.org/polars.whl", "by name, not from an address"),
        ("git+https://example.org/x.git", "not from version control"),
        ("./polars.whl", "by name, not from a file"),
        ("../polars", "by name, not from a file"),
        ("-r others.txt", "-r is not taken"),
        ("polars --index-url x", "--index-url is not taken"),
        ("polars --hash=sha256:aa", "hashes are recorded"),
        ("polars and arch", "not a requirement"),
        ("polars===1", "write == instead"),
        ("x" * 400, "too long"),
        ("x" * 200, "too long"),
        ("münchen", "not a requirement"),
        ('numpy; os_name ~= "x"', "nobody can tell when"),
        ('numpy; platform_machine ~= "x86"', "nobody can tell when"),
        ('numpy; python_version ~= "3.x"', "nobody can tell when"),
        ('numpy; sys_platform === "linux"', "nobody can tell when"),
    ],
)
def test_what_is_no_plain_requirement_is_refused_with_the_reason(line: str, why: str) -> None:
    text = refusal("", line)
    assert why in text
    assert "requirements.txt, line 1" in text


def test_a_name_asked_for_twice_in_two_ways_is_refused() -> None:
    assert "asked for twice" in refusal("# requirements: polars<1", "polars>=1")
    assert asked("# requirements: polars", "Polars") == ["polars"]


def test_a_source_distribution_is_asked_for_by_a_word() -> None:
    [one] = requirements_of({"main.py": "# requirements: old-thing==1.0 --sdist"}, "main.py")
    assert one.from_source
    assert one.text == "old-thing==1.0 --sdist"


def test_a_requirement_is_added_where_the_others_are() -> None:
    line = with_requirement({"main.py": "#!/usr/bin/python\nimport polars\n"}, "main.py", ["polars"])
    assert line == {"main.py": "#!/usr/bin/python\n# requirements: polars\nimport polars\n"}
    more = with_requirement({"main.py": "# requirements: arch>=7\nx = 1\n"}, "main.py", ["polars", "networkx"])
    assert more == {"main.py": "# requirements: arch>=7, polars, networkx\nx = 1\n"}
    field = with_requirement({"main.py": "x = 1\n", "requirements.txt": "arch"}, "main.py", ["polars"])
    assert field == {"main.py": "x = 1\n", "requirements.txt": "arch\npolars\n"}


# Imports


def missing(source: str, **more: str) -> list[str]:
    files = {"main.py": source, **{f"{name}.py": text for name, text in more.items()}}
    return [f"{one.distribution} {one.file}:{one.line}" for one in missing_imports(files, set())]


def test_missing_packages_are_found_in_every_file_and_named_as_they_are_installed() -> None:
    source = "import numpy, os.path\nfrom bs4 import BeautifulSoup\n\ndef f():\n    import cv2.text\n"
    assert missing(source, tools="import polars as pl\nimport polars\n") == [
        "beautifulsoup4 main.py:2",
        "opencv-python-headless main.py:5",
        "polars tools.py:1",
    ]


def test_what_is_there_is_not_missing() -> None:
    source = "import json, PIL, sklearn, yaml, dateutil.parser, qfp, mpl_toolkits, tools, _thread\nfrom . import x\n"
    assert missing(source, tools="") == []
    known = missing_imports({"main.py": "import polars, odd_name"}, {"polars"}, frozenset({"odd_name"}))
    assert known == []


def test_an_optional_import_is_not_missing() -> None:
    source = (
        "try:\n    import polars\nexcept ImportError:\n    polars = None\n"
        "try:\n    import arch\nexcept (ModuleNotFoundError, OSError):\n    import networkx\n"
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import torch\n"
        "try:\n    import duckdb\nexcept KeyError:\n    pass\n"
    )
    assert missing(source) == ["networkx main.py:8", "duckdb main.py:13"]


def test_magics_and_mistakes_do_not_stop_the_look() -> None:
    assert missing("%timeit 1\n!ls\nimport polars\n") == ["polars main.py:3"]
    assert missing("import polars\ndef (:\n") == []
    assert missing("import polars\n" + "(" * 5000) == []
    deep = "x = " + "+".join(["1"] * 2500) + "\nimport polars\n"
    assert missing(deep) in ([], ["polars main.py:2"])  # as deep as the parser still takes
    assert missing(
        "match x:\n    case 1:\n        import polars\nasync def f():\n    with a:\n        import arch\n"
    ) == [
        "polars main.py:3",
        "arch main.py:6",
    ]


def test_everything_a_box_has_can_be_imported_without_an_offer() -> None:
    """The table knows the import names of all that sandbox/requirements.txt installs."""
    [folder] = (ENVIRONMENT / "lib").glob("python3*/site-packages")
    names = set()
    for path in Path(folder).iterdir():
        name = path.name.partition(".")[0]
        is_module = path.is_dir() or path.suffix in (".py", ".so")
        if is_module and name.isidentifier() and not path.name.endswith((".dist-info", ".libs")):
            names.add(name)
    hidden = {"__pycache__", "typings"}  # the second: stubs somebody left lying there
    public = {name for name in names if not name.startswith("_")} - hidden
    assert len(public) > 40
    unknown = {name for name in public if distribution_of(name) not in base_versions()}
    assert unknown == set(), f"{sys.version}: {sorted(os.fspath(name) for name in unknown)}"


# Names


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("pandsa", "pandas"),
        ("nunpy", "numpy"),
        ("requestss", "requests"),
        ("sckit_learn", "scikit-learn"),
        ("plotyl", "plotly"),
        ("tensorfow", "tensorflow"),
        ("beautifulsoup", "beautifulsoup4"),
        ("po1ars", "polars"),
        ("nurnpy", "numpy"),
        ("python-requests", "requests"),
        ("pandas3", "pandas"),
        ("learn-scikit", "scikit-learn"),
        ("scikitlearn", "scikit-learn"),
        ("sklearn", "scikit-learn"),
        ("sklearnx", "scikit-learn"),
        ("cv2", "opencv-python-headless"),
    ],
)
def test_a_name_that_imitates_a_popular_one_is_refused_with_the_one_that_was_meant(name: str, meant: str) -> None:
    with pytest.raises(PackageRefused) as caught:
        check_name(name, PackageRules())
    assert meant in caught.value.reason
    assert caught.value.package == name


def test_popular_and_unlike_names_pass() -> None:
    for name in "numpy Pandas arch polars python-dateutil my-honest-library hedgehog ta sklearnex".split():
        check_name(name, PackageRules())
    assert len(popular_names()) > 500
    assert imitated("a-name-of-its-own") is None


def test_operators_allow_and_block_names() -> None:
    check_name("pandsa", PackageRules(allowed=frozenset({"pandsa"})))
    with pytest.raises(PackageRefused, match="operators of this site have blocked"):
        check_name("Polars", PackageRules(blocked=frozenset({"polars"})))


@pytest.mark.parametrize(
    "source",
    ['f"' + "{a}" * 100_000 + '"', "a=a\n" * 120_000, "a" + "()" * 150_000],
    ids=["an f-string", "many statements", "many calls"],
)
def test_what_takes_pythons_parser_seconds_is_read_line_by_line(source: str) -> None:
    source = "import polars\n" + source
    assert not _is_cheap_to_parse(source)
    assert [each.module for each in missing_imports({"main.py": source}, set())] == ["polars"]


def test_a_very_long_list_of_requirements_is_refused() -> None:
    assert "Name fewer" in refusal("# requirements: " + ",".join(f"x{number}" for number in range(50_000)))
