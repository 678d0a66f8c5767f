"""Requirements become a lock against an index on this machine: rules, refusals in words, an index that fails."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from sandbox.host.locks import Lock, Locked
from sandbox.host.package_rules import IndexUnavailable, PackageRefused
from sandbox.host.packages import Packages
from sandbox.host.requirements import base_versions, requirements_of
from tests.sandbox.index_server import IndexServer, make_sdist, make_wheel


@pytest.fixture
def index() -> Iterator[IndexServer]:
    server = IndexServer().start()
    numpy = str(base_versions()["numpy"])
    server.add("numpy", make_wheel("numpy", numpy, {"numpy/__init__.py": ""}))
    server.add("numpy", make_wheel("numpy", "1.0", {"numpy/__init__.py": "old = True\n"}))
    server.add_package("helper-thing", {"helper_thing.py": "y = 2\n"})
    server.add_package("honest-thing", {"honest.py": "x = 1\n"}, requires=("helper-thing", "numpy"))
    yield server
    server.stop()


def lock_of(packages: Packages, text: str, told: Any = lambda *_: None) -> Lock | None:
    return packages.lock(requirements_of({"main.py": f"# requirements: {text}"}, "main.py"), told)


def refusal(packages: Packages, text: str) -> PackageRefused:
    with pytest.raises(PackageRefused) as caught:
        lock_of(packages, text)
    return caught.value


def test_a_lock_names_files_and_hashes_of_what_is_not_in_every_box(packages: Any, index: IndexServer) -> None:
    lock = lock_of(packages(), "honest-thing")
    assert lock is not None
    assert [(one.name, one.version) for one in lock.packages] == [("helper-thing", "1.0"), ("honest-thing", "1.0")]
    [stored] = [file for file in index.files["honest-thing"] if "1.0" in file.name]
    assert stored.sha256 in lock.text
    assert str(len(stored.body)) in lock.text
    assert "127.0.0.1" not in lock.text  # where the files came from may change
    assert Lock.from_text(lock.text) == lock
    assert lock.overrides == []
    assert index.downloads() == []


def test_the_same_requirements_give_the_same_lock_in_any_order(packages: Any) -> None:
    one, other = lock_of(packages(), "honest-thing, helper-thing"), lock_of(packages(), "helper-thing,honest_thing")
    assert one is not None and other is not None and one.sha256 == other.sha256


def test_what_every_box_has_needs_no_lock_and_no_index(packages: Any, index: IndexServer) -> None:
    assert lock_of(packages(), f"numpy, pandas>=2, numpy=={base_versions()['numpy']}".split(", numpy==")[0]) is None
    assert index.asked == []


def test_another_version_of_what_a_box_has_overrides_it(packages: Any) -> None:
    lock = lock_of(packages(), "numpy<2")
    assert lock is not None
    assert lock.overrides == ["numpy"]


def test_a_package_that_needs_another_version_than_boxes_have_says_so(packages: Any, index: IndexServer) -> None:
    index.add_package("wants-old", {"w.py": ""}, requires=("numpy<2",))
    reason = refusal(packages(), "wants-old").reason
    assert f"Every box has numpy {base_versions()['numpy']}" in reason
    assert lock_of(packages(), "wants-old, numpy<2") is not None


def test_a_name_that_is_not_there_is_named_and_remembered(packages: Any, index: IndexServer) -> None:
    for _ in range(2):
        caught = refusal(packages(), "qfp-no-such-package")
        assert caught.package == "qfp-no-such-package"
        assert "No package called qfp-no-such-package" in caught.reason
    assert index.asked == ["/simple/qfp-no-such-package/"]


def test_a_needed_name_that_is_not_there_names_both(packages: Any, index: IndexServer) -> None:
    index.add_package("wants-nothing", {"w.py": ""}, requires=("nowhere-to-be-found",))
    assert refusal(packages(), "wants-nothing").reason.startswith(
        "wants-nothing needs nowhere-to-be-found, which is not"
    )


def test_a_package_cannot_send_us_to_an_address(packages: Any, index: IndexServer) -> None:
    sly = f"helper-thing @ {index.url.removesuffix('/simple')}/files/helper-thing/helper_thing-1.0-py3-none-any.whl"
    index.add_package("sends-away", {"s.py": ""}, requires=(sly,))
    caught = refusal(packages(), "sends-away")
    assert caught.package == "sends-away"
    assert "URL" in caught.reason
    assert index.downloads() == []


def test_a_source_distribution_is_never_opened_for_its_metadata(packages: Any, index: IndexServer) -> None:
    for version in ("0.1", "0.2", "0.3"):
        index.add("half-source", make_wheel("half-source", version, {"h.py": ""}))
    index.add("half-source", make_sdist("half-source", "9.0", {"setup.py": "raise SystemExit('executed')\n"}))
    lock = lock_of(packages(), "half-source")
    assert lock is not None and [one.version for one in lock.packages] == ["0.3"]
    assert index.downloads() == []


def test_a_typosquat_is_refused_before_the_index_is_asked(packages: Any, index: IndexServer) -> None:
    index.add_package("pandsa", {"pandsa.py": ""})
    assert "Did you mean pandas?" in refusal(packages(), "pandsa").reason
    assert index.asked == []


def test_a_young_name_is_refused_until_operators_allow_it(packages: Any, index: IndexServer) -> None:
    yesterday = (datetime.now(UTC) - timedelta(days=1)).isoformat()
    for version in ("0.1", "0.2", "0.3"):
        index.add("born-today", make_wheel("born-today", version, {"b.py": ""}), uploaded=yesterday)
    assert "younger than 30 days" in refusal(packages(), "born-today").reason
    assert lock_of(packages(allowed=frozenset({"born-today"})), "born-today") is not None
    assert lock_of(packages(youngest_days=0), "born-today") is not None


def test_a_name_with_few_releases_is_refused(packages: Any, index: IndexServer) -> None:
    index.add("once-only", make_wheel("once-only", "1.0", {"b.py": ""}))
    assert "it has 1 release" in refusal(packages(), "once-only").reason
    assert lock_of(packages(fewest_releases=1), "once-only") is not None


def test_what_others_need_obeys_the_same_rules(packages: Any, index: IndexServer) -> None:
    index.add("once-only", make_wheel("once-only", "1.0", {"b.py": ""}))
    index.add_package("wants-rare", {"w.py": ""}, requires=("once-only",))
    assert refusal(packages(), "wants-rare").package == "once-only"
    assert refusal(packages(blocked=frozenset({"helper-thing"})), "honest-thing").package == "helper-thing"


def test_a_withdrawn_release_is_not_taken_even_when_it_is_pinned(packages: Any, index: IndexServer) -> None:
    for version in ("0.1", "0.2", "0.3"):
        index.add("all-gone", make_wheel("all-gone", version, {"a.py": ""}), yanked="leaks passwords")
    assert "withdrawn" in refusal(packages(), "all-gone").reason
    pinned = refusal(packages(), "all-gone==0.2").reason
    assert "withdrawn this release (leaks passwords)" in pinned


def test_without_a_wheel_for_this_machine_the_source_is_proposed(packages: Any, index: IndexServer) -> None:
    for version in ("0.1", "0.2", "0.3"):
        index.add("only-source", make_sdist("only-source", version, {"setup.py": ""}))
        wheel = make_wheel("only-windows", version, {"a.py": ""}, tag="cp311-cp311-win_amd64")
        index.add("only-windows", wheel)
    for name in ("only-source", "only-windows"):
        reason = refusal(packages(), name).reason
        assert f"{name} has no wheel for this machine" in reason
        assert f"{name} --sdist" in reason
    assert "operators of this site do not allow" in refusal(packages(source_builds=False), "only-source --sdist").reason


def test_caps_on_number_and_size_name_the_figure(packages: Any, index: IndexServer) -> None:
    parts = tuple(f"part-number-{number}-of-many" for number in range(12))
    for part in parts:
        index.add_package(part, {f"{part.replace('-', '_')}.py": ""})
    index.add_package("many-parts", {"many.py": ""}, requires=parts)
    assert "need 13 packages; 10 is the most" in refusal(packages(packages=10), "many-parts").reason
    assert len(lock_of(packages(), "many-parts").packages) == 13
    huge = refusal(packages(download_bytes=100), "honest-thing")
    assert "too large" in huge.reason and "is the most for a run" in huge.reason


def test_an_index_that_answers_with_an_error_is_nobodys_fault(packages: Any, index: IndexServer) -> None:
    index.answer = "error"
    with pytest.raises(IndexUnavailable, match="error \\(500\\)"):
        lock_of(packages(), "honest-thing")


def test_an_index_that_says_nothing_is_given_up(packages: Any, index: IndexServer) -> None:
    index.answer = "silence"
    with pytest.raises(IndexUnavailable, match="does not answer"):
        lock_of(packages(patience_seconds=0.5), "honest-thing")


def test_an_index_that_falls_silent_while_resolving_is_given_up(packages: Any, index: IndexServer) -> None:
    made = packages(seconds=3)
    for name in ("honest-thing", "helper-thing"):
        made._index.page(name)
    index.answer = "silence"
    with pytest.raises(PackageRefused, match="could not be resolved in the time"):
        lock_of(made, "honest-thing")


def test_resolving_can_be_given_up_by_whoever_waits(packages: Any, index: IndexServer) -> None:
    made = packages()
    made._index.page("honest-thing")
    index.answer = "silence"
    start = time.monotonic()

    class Enough(Exception):
        pass

    def told(*_: Any) -> None:
        if time.monotonic() - start > 0.5:
            raise Enough

    with pytest.raises(Enough):
        lock_of(made, "honest-thing", told)
    assert not [thread for thread in threading.enumerate() if "uv" in thread.name]


def test_an_index_of_the_older_form_will_do(
    tmp_path: Path, index: IndexServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PEP 503 in HTML: hashes behind the #, no upload times."""
    from sandbox.host.package_index import _page, _read_page

    body = (
        '<a href="../../files/x/x-1.0-py3-none-any.whl#sha256=AB">x</a><a data-yanked="why" href="x-2.0.tar.gz">y</a>'
    )
    raw = _read_page(body.encode(), "text/html", "http://127.0.0.1/simple/x/")
    page = _page("x", raw)
    assert [file.url for file in page.files] == [
        "http://127.0.0.1/files/x/x-1.0-py3-none-any.whl",
        "http://127.0.0.1/simple/x/x-2.0.tar.gz",
    ]
    assert [file.sha256 for file in page.files] == ["ab", ""]
    assert [file.withdrawn for file in page.files] == [None, "why"]
    assert page.versions == ["1.0", "2.0"]
    assert page.first_upload() is None


def test_the_index_of_a_site_without_one_is_that_of_pip_and_uv(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from sandbox.host.package_index import default_index

    for name in ("UV_DEFAULT_INDEX", "PIP_INDEX_URL", "PIP_CONFIG_FILE"):
        monkeypatch.delenv(name, raising=False)
    config = tmp_path / "pip.conf"
    config.write_text("[global]\nindex-url = https://packages.example.org/simple\n")
    monkeypatch.setenv("PIP_CONFIG_FILE", str(config))
    assert default_index() == "https://packages.example.org/simple"
    monkeypatch.setenv("PIP_INDEX_URL", "https://first.example.org/simple")
    assert default_index() == "https://first.example.org/simple"
    monkeypatch.delenv("PIP_INDEX_URL")
    config.write_text("nonsense")
    assert default_index().startswith("https://")  # what pip comes with


@pytest.mark.parametrize("text", ["", "x", "# Packages\n# python 3.11", "a==1 f 0 sha256:00"])
def test_what_is_no_lock_is_not_read_as_one(text: str) -> None:
    with pytest.raises(ValueError):
        Lock.from_text(text)


def test_a_lock_that_was_changed_is_not_read_as_one() -> None:
    lock = Lock("3.11", "0" * 64, (Locked("b", "1", "b-1-py3-none-any.whl", 1, "0" * 64),))
    assert Lock.from_text(lock.text) == lock
    with pytest.raises(ValueError):
        Lock.from_text(lock.text + "\n")
