"""Do the templates still work? Each runs every night in the site's own account, the way everybody's projects run.

start_all() queues them; report() tells staff by mail which did not succeed. Which templates the gallery shows follows
from these runs (shown()): the newest decides, and a picture comes from the newest that succeeded.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import Any

from django.contrib.auth import get_user_model
from django.core.cache import cache
from django.core.mail import send_mail
from django.db.models import QuerySet
from django.utils import timezone
from django.utils.safestring import SafeString, mark_safe

from marketdata.store import current_snapshot_id
from runner.models import ENTRY, Project, Run
from runner.pictures import picture_of
from runner.quotas import limits_of
from runner.samples import FIRST_SAMPLE, FOLDER, PICTURE, SAMPLES, Sample
from runner.starting import queue_run

logger = logging.getLogger(__name__)

SITE_USER = "playground"
KEPT = timedelta(days=7)
PICTURE_SECONDS = 30 * 24 * 3600
# Ended for reasons of ours or of somebody who stopped it: they say nothing about the template.
_NO_VERDICT = (Run.Status.CANCELLED, Run.Status.CRASHED)


@dataclass(frozen=True)
class Shown:
    """A template as the gallery has it. run: its newest successful run, None before the first."""

    sample: Sample
    run: Run | None

    @property
    def picture(self) -> SafeString:
        """What its run drew; before the first one, what ships with it."""
        return self.own_picture or mark_safe(self.sample.picture)

    @property
    def own_picture(self) -> SafeString | str:
        run = self.run
        if run is None:
            return ""
        return cache.get_or_set(f"template-picture-{run.pk}", lambda: picture_of(run), PICTURE_SECONDS) or ""


def shown() -> list[Shown]:
    """Every template whose newest run succeeded or that has not been run yet."""
    newest = _newest_by_slug(_runs())
    green = _newest_by_slug(_runs().filter(status=Run.Status.SUCCEEDED))
    return [
        Shown(sample, green.get(sample.slug))
        for sample in SAMPLES
        if sample.slug not in newest or newest[sample.slug].status == Run.Status.SUCCEEDED
    ]


def pictures(projects: Iterable[Project]) -> dict[int, SafeString]:
    """What the gallery shows of those that are templates, by primary key."""
    slugs = {project.slug: project.pk for project in projects if project.owner.username == SITE_USER}
    return {slugs[each.sample.slug]: each.picture for each in (shown() if slugs else []) if each.sample.slug in slugs}


def ship_pictures() -> None:
    """Write what the templates drew here beside them, for sites that have not run them yet."""
    for each in shown():
        if picture := each.own_picture:
            (FOLDER / each.sample.slug / PICTURE).write_text(f"{picture}\n", encoding="utf-8")


def start_all() -> list[Run]:
    """Queue a run of every template as it is now, and forget old ones. The home page's comes first."""
    _forget_old()
    owner = site_user()
    return [start(publish(sample, owner), sample) for sample in sorted(SAMPLES, key=lambda s: s is not FIRST_SAMPLE)]


def report() -> list[Run]:
    """The newest runs that did not succeed; staff get one mail that names them."""
    red = [run for run in _newest_by_slug(_runs()).values() if run.status != Run.Status.SUCCEEDED]
    if red:
        lines = [f"{run.project.title}: {run.get_status_display()}. {run.message} (run {run.pk})" for run in red]
        logger.error("templates that did not succeed: %s", ", ".join(run.project.slug for run in red))
        send_mail(
            f"{len(red)} of {len(SAMPLES)} templates failed",
            "They are hidden from /templates/ until a run succeeds.\n\n" + "\n".join(lines) + "\n",
            None,
            list(get_user_model().objects.filter(is_staff=True, is_active=True).values_list("email", flat=True)),
        )
    return red


def publish(sample: Sample, owner: Any) -> Project:
    """The site's own public project of a template, with its present text."""
    project, _ = Project.objects.get_or_create(
        owner=owner,
        slug=sample.slug,
        defaults={"title": sample.title, "visibility": Project.Visibility.PUBLIC},
    )
    if project.draft.get(ENTRY) != sample.source or project.title != sample.title:
        project.title, project.draft, project.updated = sample.title, {ENTRY: sample.source}, timezone.now()
        project.draft_version += 1
        project.save()
    return project


def start(project: Project, sample: Sample) -> Run:
    revision = revision_of(project, sample)
    limits = asdict(limits_of(project.owner.plan))
    return queue_run(revision, project.owner, limits=limits, snapshot=current_snapshot_id() or "")


def revision_of(project: Project, sample: Sample) -> Any:
    return project.make_revision({ENTRY: sample.checked_source}, author=project.owner)


def site_user() -> Any:
    """The account that owns the templates; nobody can sign in to it."""
    users = get_user_model().objects
    owner = users.filter(username=SITE_USER).first()
    if owner is None:
        owner = users.create_user(
            username=SITE_USER, email="playground@localhost.invalid", display_name="Quant Finance Playground"
        )
        owner.set_unusable_password()
        owner.save(update_fields=["password"])
    return owner


def _runs() -> QuerySet[Run]:
    """Finished runs of the templates by the site itself, newest last."""
    return (
        Run.objects.whole()
        .filter(
            user__username=SITE_USER,
            revision__project__owner__username=SITE_USER,
            revision__project__slug__in=[sample.slug for sample in SAMPLES],
            finished__isnull=False,
        )
        .exclude(status__in=_NO_VERDICT)
        .select_related("revision__project")
        .order_by("finished")
    )


def _newest_by_slug(runs: QuerySet[Run]) -> dict[str, Run]:
    ordered = runs.order_by("revision__project__slug", "-finished").distinct("revision__project__slug")
    return {run.project.slug: run for run in ordered}


def _forget_old() -> None:
    kept = [run.pk for run in _newest_by_slug(_runs().filter(status=Run.Status.SUCCEEDED)).values()]
    _runs().filter(finished__lt=timezone.now() - KEPT).exclude(pk__in=kept).order_by().delete()
