"""Every follower sees every event once and in order, whatever Redis forgets."""

from __future__ import annotations

import asyncio
import json
from uuid import uuid4

import pytest

from runner.events import Publisher, follow, redis_connection, stream_key
from runner.recording import Recording

pytestmark = pytest.mark.usefixtures("services")


def numbers(batches: list[list[str]]) -> list[int]:
    return [json.loads(line)["seq"] for batch in batches for line in batch]


async def collect(run_id, after: int = 0) -> list[list[str]]:
    return [batch async for batch in follow(run_id, after)]


def line(text: str) -> dict:
    return {"type": "stdout", "text": text, "t": 0.0}


def test_late_and_early_followers_see_the_same(settings):
    run_id = uuid4()
    publisher = Publisher(run_id)
    publisher.publish(*[line(f"{n}\n") for n in range(1, 4)])

    async def story():
        early = asyncio.create_task(collect(run_id))
        await asyncio.sleep(0.2)
        publisher.publish(*[line(f"{n}\n") for n in range(4, 1200)])
        late = asyncio.create_task(collect(run_id, after=2))
        publisher.publish({"type": "finished", "status": "succeeded"})
        return await early, await late

    early, late = asyncio.run(asyncio.wait_for(story(), 20))
    assert numbers(early) == list(range(1, 1201))
    assert numbers(late) == list(range(3, 1201))


def test_a_flushed_stream_is_filled_from_the_recording():
    run_id = uuid4()
    publisher = Publisher(run_id)

    async def story():
        follower = asyncio.create_task(collect(run_id))
        publisher.publish(line("1\n"), line("2\n"))
        await asyncio.sleep(0.2)
        redis_connection().delete(stream_key(run_id))
        publisher.publish(line("3\n"))
        redis_connection().delete(stream_key(run_id))
        publisher.publish(line("4\n"), {"type": "finished", "status": "succeeded"})
        return await follower

    assert numbers(asyncio.run(asyncio.wait_for(story(), 20))) == [1, 2, 3, 4, 5]


def test_a_hole_in_the_stream_is_filled_from_the_recording():
    run_id = uuid4()
    publisher = Publisher(run_id)
    publisher.publish(*[line(f"{n}\n") for n in range(1, 10)], {"type": "finished", "status": "succeeded"})
    redis_connection().xdel(stream_key(run_id), "4-0", "5-0", "6-0")
    assert numbers(asyncio.run(asyncio.wait_for(collect(run_id), 20))) == list(range(1, 11))


def test_a_finished_run_is_read_from_its_compressed_recording():
    run_id = uuid4()
    publisher = Publisher(run_id)
    publisher.publish(line("1\n"), {"type": "finished", "status": "succeeded"})
    publisher.recording.compress()
    redis_connection().delete(stream_key(run_id))
    assert numbers(asyncio.run(asyncio.wait_for(collect(run_id), 20))) == [1, 2]
    assert numbers(asyncio.run(asyncio.wait_for(collect(run_id, after=1), 20))) == [2]


def test_a_line_cut_short_by_a_killed_writer_is_dropped_and_numbers_go_on():
    run_id = uuid4()
    Publisher(run_id).publish(line("1\n"), line("2\n"))
    recording = Recording(run_id)
    with open(recording.path, "a") as file:
        file.write('{"type": "stdout", "te')
    publisher = Publisher(run_id)
    publisher.publish({"type": "finished", "status": "crashed"})
    assert [event["seq"] for event in recording.read()] == [1, 2, 3]


def test_a_run_that_begins_before_it_is_told_that_it_waits_has_each_number_once():
    """As where a worker with a job for another run claims this one in the same moment."""
    run_id = uuid4()
    waiting, worker = Publisher(run_id), Publisher(run_id)
    worker.publish({"type": "phase", "phase": "starting"})
    waiting.publish({"type": "phase", "phase": "queued"}, only_first=True)  # it does not any more
    worker.publish(line("1\n"))
    waiting.publish(line("between\n"))
    worker.publish(line("2\n"), {"type": "finished", "status": "succeeded"})
    assert [(event["seq"], event["type"]) for event in worker.recording.read()] == [
        (1, "phase"), (2, "stdout"), (3, "stdout"), (4, "stdout"), (5, "finished"),
    ]  # fmt: skip
    assert redis_connection().xlen(stream_key(run_id)) == 5
    assert numbers(asyncio.run(asyncio.wait_for(collect(run_id, after=1), 20))) == [2, 3, 4, 5]


def test_halves_of_surrogate_pairs_travel():
    run_id = uuid4()
    Publisher(run_id).publish(line("\ud800"), {"type": "finished", "status": "failed"})
    batches = asyncio.run(asyncio.wait_for(collect(run_id), 20))
    assert json.loads(batches[0][0])["text"] == "\ud800"
