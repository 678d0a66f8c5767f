"""What a plan allows: the limits of one run, how many at once, how many a day. Plans are rows of accounts."""

from __future__ import annotations

import hashlib
from contextlib import suppress
from typing import Any

import redis
from django.core.cache import cache
from django.db import connection

from accounts.models import Plan, User
from runner.access import Viewer
from runner.models import Project, Run, Session
from sandbox.protocol import Limits

MOST_GUEST_RUNS_OF_AN_ADDRESS = 60  # in progress: a class starts together and waits in the queue
MOST_GUEST_SESSIONS_OF_AN_ADDRESS = 3  # they hold memory even when nobody looks
EXAMINED_SECONDS = 3600
DAY_SECONDS = 24 * 3600


class QuotaExceeded(Exception):
    """The viewer asked for more than the plan allows; the text says what helps."""


def plan_of(viewer: Viewer) -> Plan:
    return viewer.user.plan if viewer.user is not None else Plan.objects.for_guests()


def plan_of_run(run: Run) -> Plan:
    """The plan of whoever started it, as it is now."""
    return run.user.plan if run.user is not None else Plan.objects.for_guests()


def limits_of(plan: Plan) -> Limits:
    """What the engine enforces for one run of this plan."""
    return Limits(
        cpu_seconds=plan.cpu_seconds,
        wall_seconds=plan.wall_seconds,
        memory_bytes=plan.memory_mb * 1_000_000,
        disk_bytes=plan.disk_mb * 1_000_000,
        processes=plan.processes,
        output_bytes=plan.output_kb * 1000,
        rich_bytes=20_000_000,
        rich_message_bytes=8_000_000,
        events=20_000,
        artefact_bytes=min(plan.disk_mb, 32) * 1_000_000,
        artefact_count=50,
        cores=plan.cores,
    )


def limits_in_words(plan: Plan) -> list[dict[str, str]]:
    """What stands beside the Run button, what one looks for most first: a narrow bar shows three at once."""
    at_once = "1 run at a time" if plan.concurrent_runs == 1 else f"{plan.concurrent_runs} runs at a time"
    return [
        {"name": "cpu_seconds", "text": f"{plan.cpu_seconds} s of processor time"},
        {"name": "wall_seconds", "text": f"{plan.wall_seconds} s in all"},
        {"name": "memory", "text": f"{plan.memory_mb} MB of memory"},
        *([{"name": "cores", "text": f"{plan.cores:g} processor cores"}] if plan.cores != 1 else []),
        {"name": "concurrent_runs", "text": at_once},
        *(
            [{"name": "gpu_seconds", "text": f"{plan.gpu_seconds_per_day} GPU seconds a day"}]
            if plan.gpu_seconds_per_day
            else []
        ),
        {"name": "runs_per_day", "text": f"{plan.runs_per_day} runs a day"},
    ]


def _runs_of(viewer: Viewer) -> Any:
    """Those of an account, or of one guest's browser, so that a class behind one address can work."""
    if viewer.user is not None:
        return Run.objects.filter(user=viewer.user)
    return Run.objects.filter(user__isnull=True, revision__project__guest_hash=viewer.guest_hash)


def check_run(viewer: Viewer, plan: Plan, address_hash: str, session: Session | None = None, count: int = 1) -> None:
    """Raise QuotaExceeded when the next run would be one too many. Call inside the transaction that creates the run.

    session, count: so many cells of this session. One session is one run at a time, however many cells wait in it.
    """
    hold(viewer, address_hash)
    runs = _runs_of(viewer)
    in_progress = _in_progress(runs, session) - _one_examined(runs.in_progress().whole())
    if in_progress >= plan.concurrent_runs:
        have = "A run is" if in_progress == 1 else f"{in_progress} runs are"
        raise QuotaExceeded(
            f"{have} still in progress, the limit of your plan ({plan.name}). Stop one or wait for it to finish."
        )
    if runs.counted_today().count() + count > plan.runs_per_day:
        more = f"{_sign_up()} Or wait: the" if viewer.user is None else "The"
        raise QuotaExceeded(
            f"{plan.runs_per_day} runs in 24 hours, the limit of your plan ({plan.name}). {more} oldest stops counting "
            "24 hours after it was started."
        )
    if viewer.user is None:
        of_address = Run.objects.filter(user__isnull=True, address_hash=address_hash)
        if of_address.counted_today().count() + count > plan.address_runs_per_day:
            raise QuotaExceeded(_of_address(plan, "runs"))
        if _in_progress(of_address, session) >= MOST_GUEST_RUNS_OF_AN_ADDRESS:  # a new browser has no other limit
            raise QuotaExceeded(
                f"{MOST_GUEST_RUNS_OF_AN_ADDRESS} runs are in progress from your network address, the limit of all its "
                f"visitors without an account. Wait for some of them to finish. {_sign_up()}"
            )


def _in_progress(runs: Any, session: Session | None) -> int:
    """How many of these runs are; the cells of another session are one together, those of this one none."""
    going = runs.in_progress()
    cells = going.filter(session__isnull=False)
    if session is not None:
        cells = cells.exclude(session=session)
    return going.whole().count() + cells.values("session").distinct().count()


def check_guest_project(plan: Plan, address_hash: str) -> None:
    """Count one more project of a visitor without an account, after every other limit. Raises QuotaExceeded where the
    address has had too many, for a new browser has no other limit.
    """
    try:
        made = _count(f"guest-projects-of-{address_hash}")
    except redis.RedisError:
        raise QuotaExceeded("New projects cannot be counted at the moment. Try again in a minute.") from None
    if made > plan.address_runs_per_day:
        raise QuotaExceeded(_of_address(plan, "projects"))


def _count(what: str) -> int:
    """Count one more, and say how many it are now. They are forgotten together 24 hours after the first."""
    if cache.add(what, 1, DAY_SECONDS):
        return 1
    try:
        return cache.incr(what)
    except ValueError:  # forgotten in this very moment
        cache.set(what, 1, DAY_SECONDS)
        return 1


def _of_address(plan: Plan, what: str) -> str:
    return (
        f"{plan.address_runs_per_day} {what} in 24 hours from your network address, the limit of all its visitors "
        f"without an account. {_sign_up()}"
    )


def _sign_up() -> str:
    runs = Plan.objects.for_new_accounts().runs_per_day
    return f"Sign up: an account is free, has {runs} runs a day of its own and takes your projects along."


def check_verification(viewer: Viewer, plan: Plan, address_hash: str, run: Run) -> None:
    """Raise QuotaExceeded where this viewer may not have somebody else's run made again now: one at a time, and no more
    of them a day than runs. RedisError where nobody can count them. Call after hold(), inside the transaction that
    sends it. Guests count by browser, all who have no cookie as one, and together as an address.
    """
    who = _counted_as(viewer, viewer.guest_hash or address_hash)
    last = Run.objects.filter(pk=cache.get(f"verifying-for-{who}"), verification__state="waiting").first()
    if last is not None and last.pk != run.pk:
        raise QuotaExceeded("Another run is being verified for you. Wait for its answer, then press again.")
    if _count(f"verified-for-{who}") > plan.runs_per_day:
        raise QuotaExceeded(f"{plan.runs_per_day} runs verified in 24 hours, the limit of your plan ({plan.name}).")
    if viewer.user is None and _count(f"verified-for-all-of-{address_hash}") > plan.address_runs_per_day:
        raise QuotaExceeded(_of_address(plan, "verified runs"))
    cache.set(f"verifying-for-{who}", run.pk, EXAMINED_SECONDS)


def check_session(viewer: Viewer, plan: Plan, address_hash: str) -> None:
    """Raise QuotaExceeded when another live session would be one too many. Call after check_run."""
    mine = Session.objects.alive()
    if viewer.user is None:
        near = mine.filter(user__isnull=True, cells__address_hash=address_hash).distinct()
        if near.exclude(project__guest_hash=viewer.guest_hash).count() >= MOST_GUEST_SESSIONS_OF_AN_ADDRESS:
            raise QuotaExceeded(
                "Too many live sessions are open from your network address. Sign up for one of your own, or run the "
                "whole file."
            )
    if viewer.user is not None:
        mine = mine.filter(user=viewer.user)
    else:
        mine = mine.filter(user__isnull=True, project__guest_hash=viewer.guest_hash)
    if not plan.sessions:
        raise QuotaExceeded(f"Your plan ({plan.name}) has no live sessions. Run the whole file instead.")
    open_ones = list(mine.select_related("project")[: plan.sessions])
    if len(open_ones) >= plan.sessions:
        raise QuotaExceeded(
            f"{len(open_ones)} live session{'s are' if len(open_ones) > 1 else ' is'} open, the limit of your plan "
            f"({plan.name}). Close the one of “{open_ones[-1].project.title}” first."
        )


def check_project(viewer: Viewer, plan: Plan) -> None:
    """Raise QuotaExceeded when the next project would be one too many. Call inside the transaction that makes it."""
    hold(viewer, viewer.guest_hash)
    count = Project.objects.owned_by(viewer).count()
    if count >= plan.max_projects:
        more = f" {_sign_up()}" if viewer.user is None else ""
        have = "1 project" if count == 1 else f"{count} projects"
        limit = "the limit" if count == plan.max_projects else f"more than the {plan.max_projects}"
        enough = "one" if count == plan.max_projects else count - plan.max_projects + 1
        raise QuotaExceeded(
            f"You have {have}, {limit} of your plan ({plan.name}). Delete {enough} to make another.{more}"
        )


def adopted_beyond_the_limit(user: User, adopted: int) -> str | None:
    """What an account is told that has more projects than its plan allows, with those that it made as a guest."""
    count, plan = Project.objects.filter(owner=user).count(), user.plan
    if not adopted or count <= plan.max_projects:
        return None
    return (
        f"What you made as a guest has come along. You have {count} projects now, more than the {plan.max_projects} of "
        f"your plan ({plan.name}). All of them stay as they are; a new one can be made after "
        f"{count - plan.max_projects + 1} are deleted."
    )


def usage_of(viewer: Viewer) -> dict[str, int]:
    plan = plan_of(viewer)
    return {
        "runs_today": _runs_of(viewer).counted_today().count(),
        "runs_per_day": plan.runs_per_day,
        "projects": Project.objects.owned_by(viewer).count(),
        "max_projects": plan.max_projects,
    }


def note_examined(run: Run) -> None:
    """Its program has ended, and only its tests of honesty go on."""
    with suppress(redis.RedisError):  # then it counts until it has ended, as every other
        cache.set(f"examined-{run.pk}", True, EXAMINED_SECONDS)


def _one_examined(going: Any) -> int:
    """1 if only the tests go on of any of these runs. It leaves its place to the next run; a second one does not, as
    its box, too, is at work, and that its program has ended is that box's word.
    """
    with suppress(redis.RedisError):
        return int(bool(cache.get_many([f"examined-{pk}" for pk in going.values_list("pk", flat=True)])))
    return 0


def _counted_as(viewer: Viewer, otherwise: str) -> str:
    """Whom a limit counts for: the account, or else this hash."""
    return f"u{viewer.user.pk}" if viewer.user is not None else f"a{otherwise}"


def hold(viewer: Viewer, address_hash: str) -> None:
    """Until the transaction ends nobody else counts what this account or address has. Before any row is locked, or two
    requests could wait for each other.
    """
    one_at_a_time(_counted_as(viewer, address_hash))


def one_at_a_time(who: str) -> None:
    """Serialise the counting of one account or address until the transaction ends (two clicks at once are two runs)."""
    number = int.from_bytes(hashlib.sha256(who.encode()).digest()[:8], "big", signed=True)
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [number])
