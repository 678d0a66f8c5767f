"""What does the site remember of written code? Projects, and the revisions of their files."""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.db import IntegrityError, models, transaction
from django.db.models import Q
from django.db.models.functions import Lower
from django.utils import timezone
from django.utils.text import slugify

if TYPE_CHECKING:
    from runner.access import Viewer

ENTRY = "main.py"
MAX_SOURCE_BYTES = 512 * 1024
GUEST_DAYS = 7
MOST_ANCESTORS = 50


def new_token() -> str:
    """An unguessable name for a URL: 128 bits."""
    return secrets.token_urlsafe(16)


class ProjectQuerySet(models.QuerySet):
    def owned_by(self, viewer: Viewer) -> ProjectQuerySet:
        """The projects that belong to this account, or to this browser's guest key."""
        mine = Q(pk__in=[])
        if viewer.user is not None:
            mine |= Q(owner=viewer.user)
        if viewer.guest_hash:
            mine |= Q(owner__isnull=True, guest_hash=viewer.guest_hash, expires__gt=timezone.now())
        return self.filter(mine)

    def visible_to(self, viewer: Viewer) -> ProjectQuerySet:
        """What this viewer may open when holding its address. Unlisted ones are not for lists: see listed()."""
        return self.filter(
            Q(visibility__in=[Project.Visibility.PUBLIC, Project.Visibility.UNLISTED])
            | Q(pk__in=self.model.objects.owned_by(viewer).values("pk"))
        )

    def editable_by(self, viewer: Viewer) -> ProjectQuerySet:
        return self.owned_by(viewer)

    def listed(self) -> ProjectQuerySet:
        """What anybody may be shown unasked."""
        return self.filter(visibility=Project.Visibility.PUBLIC, owner__isnull=False)


class Project(models.Model):
    """A user's named files; `main.py` is the entry. A guest's project has no owner but a guest key."""

    class Visibility(models.TextChoices):
        PRIVATE = "private", "Private"
        UNLISTED = "unlisted", "Anyone with the link"
        PUBLIC = "public", "Public"

    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, null=True, blank=True, related_name="projects"
    )
    guest_hash = models.CharField(max_length=64, blank=True, help_text="SHA-256 of the key in the guest's cookie.")
    token = models.CharField(max_length=32, unique=True, default=new_token, editable=False)
    slug = models.SlugField(max_length=60)
    title = models.CharField(max_length=120)
    visibility = models.CharField(max_length=10, choices=Visibility.choices, default=Visibility.PRIVATE)
    forked_from = models.ForeignKey("Revision", on_delete=models.SET_NULL, null=True, blank=True, related_name="forks")
    template = models.CharField(max_length=60, blank=True, help_text="Slug of the template that it is a copy of.")
    draft = models.JSONField(default=dict, help_text="Path to text; what the editor shows, saved as one types.")
    draft_version = models.PositiveIntegerField(default=1)
    draft_saved = models.DateTimeField(default=timezone.now)
    created = models.DateTimeField(default=timezone.now, editable=False)
    updated = models.DateTimeField(default=timezone.now, db_index=True)
    expires = models.DateTimeField(null=True, blank=True, help_text="Guests' projects only.")

    objects = ProjectQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint("owner", Lower("slug"), name="project_slug_unique_per_owner"),
            models.CheckConstraint(
                condition=Q(owner__isnull=False) | ~Q(guest_hash=""), name="project_has_owner_or_guest"
            ),
        ]
        ordering = ["-updated"]

    def __str__(self) -> str:
        return self.title

    def get_absolute_url(self) -> str:
        return self.base_url

    @property
    def is_guest(self) -> bool:
        return self.owner_id is None

    @property
    def source(self) -> str:
        return self.draft.get(ENTRY, "")

    @property
    def base_url(self) -> str:
        if self.is_guest:
            return f"/g/{self.token}"
        return f"/p/{self.owner.username}/{self.slug}"

    @property
    def edit_url(self) -> str:
        return self.base_url if self.is_guest else f"{self.base_url}/edit"

    def ancestors(self) -> Iterator[tuple[int, datetime]]:
        """What it was forked from, what that was forked from, and so on: the project's id, and when it was forked."""
        child = self
        for _ in range(MOST_ANCESTORS):
            revision = child.forked_from
            if revision is None:
                return
            yield revision.project_id, child.created
            child = revision.project

    @classmethod
    def free_slug(cls, owner: Any, title: str) -> str:
        """A slug made of the title that this owner does not use yet. Inside the transaction that takes it: two that
        ask at once get theirs one after the other.
        """
        get_user_model().objects.select_for_update(no_key=True).filter(pk=owner.pk).first()
        base = slugify(title)[:50] or "project"
        taken = set(cls.objects.filter(owner=owner, slug__istartswith=base).values_list(Lower("slug"), flat=True))
        slug, number = base, 2
        while slug in taken:
            slug, number = f"{base}-{number}", number + 1
        return slug

    @classmethod
    def make(cls, owner: Any, title: str, source: str, slug: str = "", template: str = "") -> Project:
        """A project of this owner with a slug of its own, made of `slug` or else of the title."""
        with transaction.atomic():
            free = cls.free_slug(owner, slug or title)
            return cls.objects.create(owner=owner, slug=free, title=title, draft={ENTRY: source}, template=template)

    def hold(self) -> None:
        """Inside a transaction: nobody deletes it before that ends. Raises DoesNotExist when somebody has."""
        if Project.objects.select_for_update().filter(pk=self.pk).values_list("pk").first() is None:
            raise Project.DoesNotExist("This project has been deleted.")

    def remove(self) -> None:
        """Delete it with its runs. A worker that still runs one of them finds the row gone, and ends the box; one that
        stores something while we look is why there is another try.
        """
        for tries_left in (3, 2, 1, 0):
            try:
                with transaction.atomic():
                    found = Project.objects.select_for_update().filter(pk=self.pk).first()
                    if found is not None:
                        found.delete()
                return
            except IntegrityError:
                if not tries_left:
                    raise

    def save_draft(self, source: str, version: int) -> bool:
        """Store the editor's text if nobody has stored another one since `version`; False when somebody has.

        The same text is no other one: the run or the last word of a page left behind has stored it a moment before.
        """
        now = timezone.now()
        values = {
            "draft": {**self.draft, ENTRY: source},
            "draft_version": version + 1,
            "draft_saved": now,
            "updated": now,
        }
        if not Project.objects.filter(pk=self.pk, draft_version=version).update(**values):
            self._look_again(list(values))
            return self.source == source
        for name, value in values.items():
            setattr(self, name, value)
        return True

    def save_file(self, path: str, text: str) -> None:
        """Store another file than the entry; an empty one is removed. Whatever else was saved meanwhile stays."""
        changed = 0
        while not changed:
            draft = {name: body for name, body in self.draft.items() if name != path}
            if text.strip():
                draft[path] = text
            changed = Project.objects.filter(pk=self.pk, draft_version=self.draft_version).update(
                draft=draft, draft_version=self.draft_version + 1, updated=timezone.now()
            )
            self._look_again(["draft", "draft_version", "updated"])

    def _look_again(self, fields: list[str]) -> None:
        self.refresh_from_db(fields=fields)

    def make_revision(self, files: dict[str, str], author: Any, name: str = "") -> Revision:
        """The immutable record of these files; saving unchanged files returns the latest revision."""
        digest = digest_of_files(files)
        with transaction.atomic(savepoint=False):
            # The lock gives revisions of one project their numbers one after the other.
            self.hold()
            latest = self.revisions.order_by("-number").first()
            if latest and latest.sha256 == digest:
                if name and latest.name != name:
                    latest.name = name
                    latest.save(update_fields=["name"])
                return latest
            number = latest.number + 1 if latest else 1
            return self.revisions.create(number=number, files=files, sha256=digest, author=author, name=name)


def digest_of_files(files: dict[str, str]) -> str:
    """SHA-256 over the paths and texts in path order."""
    canonical = json.dumps(files, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(canonical.encode("utf-8", "surrogatepass")).hexdigest()


class Revision(models.Model):
    """One immutable state of a project's files."""

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="revisions")
    number = models.PositiveIntegerField()
    files = models.JSONField()
    sha256 = models.CharField(max_length=64)
    name = models.CharField(max_length=120, blank=True)
    author = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    created = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["project", "number"], name="revision_number_unique")]
        ordering = ["-number"]

    def __str__(self) -> str:
        return f"{self.project} · revision {self.number}"

    @property
    def source(self) -> str:
        return self.files.get(ENTRY, "")
