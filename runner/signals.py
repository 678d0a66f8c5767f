"""What this app does when something happens elsewhere: sign-ups adopt guests' work, deleted runs lose their files,
and what was tried in deleted projects is remembered."""

from __future__ import annotations

from functools import partial
from typing import Any

from allauth.account.signals import user_logged_in, user_signed_up
from django.contrib import messages
from django.contrib.auth import get_user_model
from django.db import transaction
from django.db.models import QuerySet
from django.db.models.signals import post_delete, pre_delete
from django.dispatch import receiver

from runner import sessions
from runner.ending import forget_stored_output
from runner.guests import adopt_guest_projects
from runner.models import Project, Run, Session
from runner.past_trials import remember, remember_for_others
from runner.quotas import adopted_beyond_the_limit


@receiver([user_signed_up, user_logged_in])
def keep_guest_work(request: Any, user: Any, **kwargs: Any) -> None:
    if told := adopted_beyond_the_limit(user, adopt_guest_projects(request, user)):
        messages.warning(request, told)


@receiver(post_delete, sender=Run)
def delete_stored_output(instance: Run, **kwargs: Any) -> None:
    transaction.on_commit(partial(forget_stored_output, instance.pk))


@receiver(pre_delete, sender=Session)
def close_session(instance: Session, **kwargs: Any) -> None:
    if instance.is_alive:
        sessions.close(instance, "Its project was deleted.")


@receiver(pre_delete, sender=Project)
def remember_trials(instance: Project, origin: Any, **kwargs: Any) -> None:
    """Many at once are deleted one by one where that is for their trials: what one leaves to a fork, goes with it."""
    if origin is instance:
        remember(instance)
    elif isinstance(origin, get_user_model()):
        remember_for_others(instance, get_user_model().objects.filter(pk=origin.pk))
    elif isinstance(origin, QuerySet) and origin.model is get_user_model():
        remember_for_others(instance, origin)
