"""Nothing adds up: after many mixed runs there is as much as before, in the engine and on the machine."""

from __future__ import annotations

from tests.sandbox import soak


def test_sixty_mixed_runs_leave_everything_as_it_was(make_engine) -> None:
    engine = make_engine("--ready", "1")
    soak.soak(engine, soak.mix(16, 0.1, seed=1))  # what is made once is made now
    engine.run("print(1)")
    before = soak.quiet(engine, seconds=5.0)
    memory = soak.memory_bytes(engine)
    tally = soak.soak(engine, soak.mix(60, 0.3))
    assert not tally.wrong
    assert sum(tally.outcomes.values()) == 60
    assert tally.outcomes["succeeded"] >= 20 and tally.outcomes["cancelled"] >= 2 and tally.outcomes["left"] >= 2
    assert tally.starts["fork"] + tally.starts["ready"] > 20
    assert not soak.settled(engine, before)
    assert soak.memory_bytes(engine) - memory < soak.MEMORY_GROWTH_BYTES
    assert engine.run("print(1)").stdout == "1\n"


def test_what_is_left_behind_is_noticed(make_engine) -> None:
    """An engine that forgets to remove control groups and descriptors is told apart from one that does not."""
    forgetful = "import sys\nfrom sandbox.host import cgroups, engine, walls\n"
    forgetful += "import os\nkept = walls.Walls.remove\nasync def remove(self):\n    await kept(self)\n    os.pipe()\n"
    forgetful += "walls.Walls.remove = remove\nsys.exit(engine.main())\n"
    engine = make_engine("--no-zygote", start_with=forgetful)
    engine.run("print(1)")
    before = soak.count(engine)
    soak.soak(engine, soak.mix(10, 0.1))
    assert "descriptors" in soak.settled(engine, before, seconds=1.0)
