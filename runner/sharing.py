"""What becomes visible when a project is shared? Said before it is; who can see it, and where, is said once it is."""

from __future__ import annotations

from django.conf import settings
from qfp.figures import count

from runner.access import Viewer
from runner.models import Project, Revision, Run
from runner.sweeps.out_of_sample import out_of_sample

__all__ = ["is_wider", "last_success", "link_of", "shown_revision", "what_others_see", "who_sees"]

REACH = [Project.Visibility.PRIVATE, Project.Visibility.UNLISTED, Project.Visibility.PUBLIC]


def is_wider(project: Project, visibility: str) -> bool:
    """Whether more people would see it than do now."""
    return REACH.index(Project.Visibility(visibility)) > REACH.index(Project.Visibility(project.visibility))


def link_of(project: Project) -> str:
    """What is handed to others."""
    return f"{settings.SITE_URL}{project.base_url}"


def who_sees(project: Project) -> str:
    """Two sentences about a project that is stored like this."""
    match project.visibility:
        case Project.Visibility.PUBLIC:
            return f"“{project.title}” is public: everybody sees it. It is listed under Explore and on your profile."
        case Project.Visibility.UNLISTED:
            return f"“{project.title}” is shared: whoever has its link sees it. It is in no list."
    return f"“{project.title}” is private: only you see it. Its link opens for nobody else."


def last_success(project: Project) -> Run | None:
    """What others are shown: not what is being typed, and not what failed."""
    runs = Run.objects.filter(revision__project=project).shown_first()
    return runs.select_related("revision__project__owner", "lock").first()


def shown_revision(project: Project) -> Revision | None:
    run = last_success(project)
    return run.revision if run is not None else None


def what_others_see(project: Project, visibility: str) -> list[str]:
    """Sentences for whoever is about to share it that far."""
    who = "Everybody" if visibility == Project.Visibility.PUBLIC else "Whoever has its address"
    said = [f"{who} sees its title, “{project.title}”, and your name, {project.owner.get_full_name()}."]
    revision = shown_revision(project)
    if revision is None:
        said.append("No run has succeeded yet, so no code is shown. The code of the next one that does will be.")
    else:
        said.append(
            f"The code is the newest that has run without an error, revision {revision.number}. What you write from "
            "now on is seen once it has run. Others may copy it."
        )
    runs = Run.objects.whole().filter(revision__project=project)
    if number := runs.count():
        one = number == 1
        said.append(
            f"{'Its run opens' if one else f'All {count(number)} runs open'} for whoever has the address of one: code "
            "as it was then, parameters, output with what was typed for it, files, backtests and trades. The site "
            "tells others the address of the run that its page shows, and of a walk-forward of the sweep it came "
            "from, and of no other. Pages of other sites may show a result, with all that it can claim."
        )
    shown = last_success(project)
    for backtest in shown.backtests.order_by("position")[:1] if shown is not None else []:
        if found := out_of_sample(backtest, Viewer(None)):
            said.append(f"Beside its result stands: “{found.sentence}”, with the address of that walk-forward.")
    if own := runs.filter(manifest__data__private__0__isnull=False).count():
        said.append(
            f"{count(own)} of them read data that are yours alone. Of those others see code and figures, and neither "
            "output nor files nor trades."
        )
    else:
        said.append(
            "Data that are yours alone stay yours: of runs that read such, others see code and figures, and neither "
            "output nor files nor trades."
        )
    if visibility == Project.Visibility.PUBLIC:
        said.append("It is listed under Explore and on your profile, and search engines may find it.")
    return said
