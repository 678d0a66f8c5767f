"""Whose turn is it? Places go to whoever has fewest of them, then to whoever came first."""

from __future__ import annotations

import asyncio

from sandbox.host.admission import Admission


async def _enter_all(admission: Admission, owners: str) -> list[str]:
    """Owners in the order in which they were let in; each leaves when everybody who could come in has."""
    order: list[str] = []

    async def one(owner: str) -> None:
        assert await admission.enter(owner, 5)
        order.append(owner)
        await asyncio.sleep(0.01)
        admission.leave(owner)

    await asyncio.gather(*(one(owner) for owner in owners))
    return order


async def test_nobody_waits_behind_the_backlog_of_another_user() -> None:
    order = await _enter_all(Admission(total=2, per_owner=2), "aaaaaaab")
    assert order.index("b") == 2, order  # the two that ran already, then b


async def test_equals_are_let_in_as_they_came() -> None:
    assert await _enter_all(Admission(total=1, per_owner=1), "abcabc") == list("abcabc")


async def test_one_user_never_has_more_than_their_share() -> None:
    admission = Admission(total=4, per_owner=2)
    assert await admission.enter("a", 1)
    assert await admission.enter("a", 1)
    assert not await admission.enter("a", 0.05)
    assert "2 programs of yours" in admission.why_not("a")
    assert await admission.enter("b", 0.05)


async def test_who_gives_up_waiting_takes_no_place_with_them() -> None:
    admission = Admission(total=1, per_owner=1)
    assert await admission.enter("a", 1)
    waiting = asyncio.create_task(admission.enter("b", 5))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    admission.leave("a")
    assert (admission.running, admission.waiting) == (0, 0)
    assert await admission.enter("c", 0.1)


async def test_who_gives_up_in_the_moment_of_being_let_in_takes_no_place_with_them() -> None:
    admission = Admission(total=1, per_owner=1)
    assert await admission.enter("a", 1)
    waiting = asyncio.create_task(admission.enter("b", 5))
    await asyncio.sleep(0)
    admission.leave("a")
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    assert waiting.cancelled() and (admission.running, admission.waiting) == (0, 0)
