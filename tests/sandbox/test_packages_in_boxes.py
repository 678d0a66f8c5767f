"""A layer in a real box: imported, compiled parts too, beside or instead of what is there; sources built in boxes."""

from __future__ import annotations

import os
import shutil
import subprocess
import sysconfig
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from sandbox.client import BoxRefused, BoxRequest
from sandbox.host.layers import Layers
from sandbox.host.locks import python_version
from sandbox.host.package_rules import PackageRefused, PackageRules
from sandbox.host.packages import Packages
from sandbox.host.requirements import base_versions, requirements_of
from sandbox.protocol import Limits
from tests.sandbox.conftest import ENVIRONMENT, LIMITS, ORDINARY_UID, Engine, Result
from tests.sandbox.index_server import IndexServer, make_sdist, make_wheel

PYTHON = ENVIRONMENT / "bin" / "python"


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="layers-") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@pytest.fixture(scope="module")
def engine(place: Path) -> Iterator[Engine]:
    (place / "e").mkdir()
    engine = Engine(place / "e", "--layers", str(place / "layers"))
    yield engine
    engine.stop()


@pytest.fixture
def index() -> Iterator[IndexServer]:
    server = IndexServer().start()
    yield server
    server.stop()


Run = Callable[..., Result]


@pytest.fixture
def run(engine: Engine, place: Path, index: IndexServer) -> Run:
    """Lock, build and run a program that asks for packages."""

    def one(source: str, **rules: Any) -> Result:
        packages = Packages(
            layers=place / "layers",
            cache=place / "index",
            python=PYTHON,
            index_url=index.url,
            rules=PackageRules(**rules),
            engine=engine.client,
        )
        lock = packages.lock(requirements_of({"main.py": source}, "main.py"), lambda *_: None)
        assert lock is not None
        result = Result()
        with packages.layer(lock, lambda *_: None):
            request = BoxRequest("r", "o", {"main.py": source}, "main.py", {}, Limits(**LIMITS), layer=lock.sha256)
            with engine.client.start(request) as box:
                result.events = [event for event in box.events() if event is not None]
        return result

    return one


def test_a_pure_package_is_imported_from_the_layer(run: Run, index: IndexServer) -> None:
    index.add_package("pure-thing", {"pure_thing/__init__.py": "answer = 42\n"})
    result = run("# requirements: pure-thing\nimport pure_thing\nprint(pure_thing.answer, pure_thing.__file__)\n")
    assert result.outcome == "succeeded", result.stderr
    assert result.stdout == "42 /opt/layer/pure_thing/__init__.py\n"


def test_a_package_knows_its_own_version_and_the_layer_cannot_be_written(run: Run, index: IndexServer) -> None:
    index.add_package("pure-thing", {"pure_thing/__init__.py": ""})
    source = (
        "# requirements: pure-thing\nfrom importlib.metadata import version\nprint(version('pure-thing'))\n"
        "try:\n    open('/opt/layer/evil.py', 'w')\nexcept OSError as error:\n    print(error.errno)\n"
    )
    assert run(source).stdout == "1.0\n30\n"


def test_a_compiled_package_works(run: Run, index: IndexServer, tmp_path: Path) -> None:
    if shutil.which("gcc") is None:
        pytest.fail("This test compiles a small extension: apt install gcc", pytrace=False)
    include = Path("/usr/include/python3.11") if Path("/usr/include/python3.11/Python.h").exists() else None
    include = include or Path(sysconfig.get_paths()["include"])
    source = tmp_path / "tiny.c"
    source.write_text(
        "#include <Python.h>\n"
        "static PyObject *twice(PyObject *m, PyObject *x) { return PyLong_FromLong(2 * PyLong_AsLong(x)); }\n"
        'static PyMethodDef methods[] = {{"twice", twice, METH_O, ""}, {0}};\n'
        'static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "tiny", "", -1, methods};\n'
        "PyMODINIT_FUNC PyInit_tiny(void) { return PyModule_Create(&module); }\n"
    )
    words = ["gcc", "-shared", "-fPIC", "-DPy_LIMITED_API=0x030b0000", f"-I{include}", str(source)]
    subprocess.run([*words, "-o", str(tmp_path / "tiny.abi3.so")], check=True, capture_output=True)
    for version in ("0.1", "0.2", "1.0"):
        files = {"tiny.abi3.so": (tmp_path / "tiny.abi3.so").read_bytes()}
        index.add("tiny-compiled", make_wheel("tiny-compiled", version, files, tag="cp311-abi3-linux_x86_64"))
    result = run("# requirements: tiny-compiled\nimport tiny\nprint(tiny.twice(21))\n")
    assert (result.stdout, result.stderr) == ("42\n", "")


def test_a_package_with_many_dependencies_works(run: Run, index: IndexServer) -> None:
    parts = tuple(f"part-number-{number}-of-many" for number in range(15))
    for number, part in enumerate(parts):
        index.add_package(part, {f"part_{number}/__init__.py": f"value = {number}\n"})
    body = "".join(f"import part_{number}\n" for number in range(15))
    body += f"total = sum([{', '.join(f'part_{number}.value' for number in range(15))}])\n"
    index.add_package("many-parts", {"many.py": body}, requires=parts)
    assert run("# requirements: many-parts\nimport many\nprint(many.total)\n").stdout == "105\n"


def test_a_layer_goes_after_what_is_there_unless_it_overrides(run: Run, index: IndexServer) -> None:
    numpy = str(base_versions()["numpy"])
    index.add_package("sly-thing", {"sly.py": "", "tqdm/__init__.py": "mine = True\n"})
    there = run("# requirements: sly-thing\nimport sly, tqdm\nprint(hasattr(tqdm, 'mine'))\n")
    assert there.stdout == "False\n"
    assert there.ended["start"] in ("ready", "fork")  # as fast as without packages
    index.add("tqdm", make_wheel("tqdm", "1.0", {"tqdm/__init__.py": "mine = True\n"}))
    index.add("numpy", make_wheel("numpy", numpy, {"numpy/__init__.py": ""}))
    instead = run("# requirements: tqdm<2\nimport json, numpy, tqdm\nprint(hasattr(tqdm, 'mine'), json.dumps(1))\n")
    assert instead.stdout == "True 1\n"
    assert instead.ended["start"] == "cold"  # no interpreter that has loaded another version will do


def test_start_code_of_a_package_never_runs(run: Run, index: IndexServer) -> None:
    files = {"quiet.py": "", "quiet.pth": "import builtins; builtins.evil = 1\n", "sitecustomize.py": "print('evil')\n"}
    index.add_package("quiet-thing", files)
    result = run("# requirements: quiet-thing\nimport quiet, builtins\nprint(hasattr(builtins, 'evil'))\n")
    assert result.stdout == "False\n"


def test_two_projects_do_not_see_each_others_packages(run: Run, engine: Engine, index: IndexServer) -> None:
    index.add_package("pure-thing", {"pure_thing/__init__.py": ""})
    index.add_package("other-thing", {"other_thing/__init__.py": ""})
    run("# requirements: other-thing\nimport other_thing\n")
    result = run(
        "# requirements: pure-thing\nimport os, pure_thing\nprint(sorted(os.listdir('/opt')))\nimport other_thing\n"
    )
    assert result.outcome == "failed"
    assert "layers" not in result.stdout
    look = "import os\nprint(os.listdir('/opt/layer') if os.path.exists('/opt/layer') else [])\nimport pure_thing\n"
    without = engine.run(look)
    assert without.stdout == "[]\n"
    assert "No package called 'pure_thing'" in without.ended["error"]["message"]


def test_a_ready_box_never_has_a_layer_that_was_removed_since(run: Run, index: IndexServer, place: Path) -> None:
    index.add_package("pure-thing", {"pure_thing/__init__.py": "answer = 42\n"})
    source = "# requirements: pure-thing\nimport pure_thing\nprint(pure_thing.answer)\n"
    for _ in range(3):
        assert run(source).stdout == "42\n"
        time.sleep(0.5)  # a box for the same layer stands ready by now
        Layers(place / "layers").collect(0, 0)


def test_a_layer_that_is_not_there_is_refused(engine: Engine) -> None:
    request = BoxRequest("r", "o", {"main.py": "1"}, "main.py", {}, Limits(**LIMITS), layer="0" * 64)
    with pytest.raises(BoxRefused, match="packages this run asks for are not installed"):
        engine.client.start(request)
    with pytest.raises(ValueError, match="layer must be a SHA-256"):
        BoxRequest("r", "o", {"main.py": "1"}, "main.py", {}, Limits(**LIMITS), layer="../../etc")


def test_an_ordinary_users_engine_has_layers_too(
    index: IndexServer, make_engine: Callable[..., Engine], place: Path
) -> None:
    index.add_package("plain-thing", {"plain_thing.py": "answer = 42\n"})
    (place / "layers").mkdir(mode=0o755, exist_ok=True)
    uid = ORDINARY_UID if os.geteuid() == 0 else None
    engine = make_engine("--layers", str(place / "layers"), "--no-zygote", uid=uid)
    rules = PackageRules()
    packages = Packages(
        layers=place / "layers",
        cache=place / "index",
        python=PYTHON,
        index_url=index.url,
        rules=rules,
        engine=engine.client,
    )
    source = "# requirements: plain-thing\nimport plain_thing\nprint(plain_thing.answer)\n"
    lock = packages.lock(requirements_of({"main.py": source}, "main.py"), lambda *_: None)
    assert lock is not None
    with packages.layer(lock, lambda *_: None):
        request = BoxRequest("r", "o", {"main.py": source}, "main.py", {}, Limits(**LIMITS), layer=lock.sha256)
        with engine.client.start(request) as box:
            result = Result([event for event in box.events() if event is not None])
    assert result.stdout == "42\n", result.stderr


# Source distributions

SETUP = (
    "from setuptools import setup\n"
    "setup(name={name!r}, version={version!r}, py_modules=[{module!r}], install_requires=[{requires}])\n"
)


def add_sources(index: IndexServer, name: str, setup: str, **files: str) -> None:
    for version in ("0.1", "0.2", "1.0"):
        text = setup.replace("VERSION", version)
        index.add(name, make_sdist(name, version, {"setup.py": text, **{f"{k}.py": v for k, v in files.items()}}))


def test_a_source_distribution_is_built_in_a_box(run: Run, index: IndexServer) -> None:
    index.add_package("helper-thing", {"helper_thing.py": "y = 2\n"})
    setup = SETUP.format(name="old-thing", version="VERSION", module="old_thing", requires="'helper-thing'")
    add_sources(index, "old-thing", setup, old_thing="import helper_thing\nanswer = 40 + helper_thing.y\n")
    source = "# requirements: old-thing --sdist\nimport old_thing\nprint(old_thing.answer)\n"
    result = run(source)
    assert result.outcome == "succeeded", result.stderr
    assert result.stdout == "42\n"


def failure(run: Run, text: str) -> str:
    with pytest.raises(PackageRefused) as caught:
        run(f"# requirements: {text}\n")
    return caught.value.reason


def test_a_hostile_setup_script_gets_nowhere(run: Run, index: IndexServer, tmp_path: Path) -> None:
    """It tries the network, files of the machine and processes, and can still only leave a wheel that is checked."""
    target = tmp_path / "evil"
    hostile = f"""
import os, socket, subprocess, sys
tried = []
for name, act in {{
    "network": lambda: socket.create_connection(("127.0.0.1", {index._server.server_port}), 2),
    "write": lambda: open({str(target)!r}, "w").write("evil"),
    "shadow": lambda: open("/etc/shadow").read(),
    "environment": lambda: os.environ["QFPTOKEN_TEST"],
    "layers": lambda: open("/opt/env/evil.py", "w"),
    "proc": lambda: os.listdir("/proc/1"),
    "root": lambda: os.setuid(0),
}}.items():
    try:
        act()
        tried.append(name)
    except BaseException:
        pass
children = 0
try:
    while children < 1000:
        if os.fork() == 0:
            import time
            time.sleep(30)
            os._exit(0)
        children += 1
except OSError:
    pass
raise SystemExit(f"reached {{tried}}, {{'few' if children < 200 else 'many'}} children")
"""
    add_sources(index, "hostile-thing", hostile)
    reason = failure(run, "hostile-thing --sdist")
    assert "hostile-thing could not be built from source" in reason
    assert "reached [], few children" in reason
    assert not target.exists()


def test_a_setup_script_that_never_ends_is_ended(run: Run, index: IndexServer, monkeypatch: pytest.MonkeyPatch) -> None:
    from sandbox.host import source_builds

    short = Limits(**{**source_builds.LIMITS.__dict__, "cpu_seconds": 2})
    monkeypatch.setattr(source_builds, "LIMITS", short)
    add_sources(index, "endless-thing", "while True: pass\n")
    assert "more than 2 s of processor time" in failure(run, "endless-thing --sdist")


def test_a_build_that_leaves_another_package_is_refused(run: Run, index: IndexServer) -> None:
    add_sources(index, "sly-source", SETUP.format(name="numpy", version="9.9", module="x", requires=""), x="")
    assert "building sly-source 1.0 gave numpy 9.9" in failure(run, "sly-source --sdist")


def test_a_build_that_forges_a_wheel_is_checked_like_any_other(run: Run, index: IndexServer) -> None:
    _name, body = make_wheel("forged-thing", "1.0", {"../../evil.py": "evil"})
    setup = (
        "import os, glob\n"
        "place = os.path.join('/box', 'wheel')\n"
        f"open(os.path.join(place, 'forged_thing-1.0-py3-none-any.whl'), 'wb').write({body!r})\n"
        "os._exit(0)\n"
    )
    add_sources(index, "forged-thing", setup)
    reason = failure(run, "forged-thing==1.0 --sdist")
    assert "forged-thing" in reason
    assert "written elsewhere" in reason


def test_what_cannot_be_built_says_what_is_lacking(run: Run, index: IndexServer) -> None:
    hatch = '[build-system]\nrequires = ["hatchling"]\nbuild-backend = "hatchling.build"\n'
    scm = '[build-system]\nrequires = ["setuptools", "setuptools-scm>=8"]\nbuild-backend = "setuptools.build_meta"\n'
    for version in ("0.1", "0.2", "0.3"):
        index.add("hatched-thing", make_sdist("hatched-thing", version, {"pyproject.toml": hatch}))
        index.add("scm-thing", make_sdist("scm-thing", version, {"pyproject.toml": scm}))
    assert "needs the build backend hatchling; boxes have setuptools" in failure(run, "hatched-thing --sdist")
    assert "building it needs setuptools-scm" in failure(run, "scm-thing --sdist")
    add_sources(index, "broken-thing", "import not_there_at_all\n")
    assert "not_there_at_all" in failure(run, "broken-thing --sdist")


def test_boxes_and_site_agree_on_the_python(engine: Engine) -> None:
    assert engine.run("import sys\nprint('%d.%d' % sys.version_info[:2])").stdout.strip() == python_version(PYTHON)
