"""What this app does when something happens elsewhere: sign-ups adopt guests' work, deleted runs lose their files,
and what was tried in deleted projects is remembered."""

from __future__ import annotations

from functools import partial
from typing import Any

from allauth.account.signals import user_logged_in, user_signed_up
from django.db import transaction
from django.db.models.signals import post_delete, pre_delete
from django.dispatch import receiver

from runner import sessions
from runner.ending import forget_stored_output
from runner.guests import adopt_guest_projects
from runner.models import Project, Run, Session
from runner.past_trials import remember


@receiver([user_signed_up, user_logged_in])
def keep_guest_work(request: Any, user: Any, **kwargs: Any) -> None:
    adopt_guest_projects(request, user)


@receiver(post_delete, sender=Run)
def delete_stored_output(instance: Run, **kwargs: Any) -> None:
    transaction.on_commit(partial(forget_stored_output, instance.pk))


@receiver(pre_delete, sender=Session)
def close_session(instance: Session, **kwargs: Any) -> None:
    if instance.is_alive:
        sessions.close(instance, "Its project was deleted.")


@receiver(pre_delete, sender=Project)
def remember_trials(instance: Project, origin: Any, **kwargs: Any) -> None:
    """Not where it goes with its owner, or among many whose time is over."""
    if origin is instance:
        remember(instance)
