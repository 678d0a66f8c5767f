"""Who has an account, and what may they use? User and Plan (limits are rows, not code)."""

from __future__ import annotations

from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.auth.models import PermissionsMixin, UserManager
from django.db import models
from django.db.models.functions import Lower
from django.urls import reverse
from django.utils import timezone

from accounts.names import USERNAME_MAX_LENGTH, validate_username


class PlanQuerySet(models.QuerySet["Plan"]):
    """Code picks a plan by its role, never by its name: names and prices change, roles do not."""

    def for_guests(self) -> Plan:
        """The limits of visitors without an account."""
        return self.get(is_for_guests=True)

    def for_new_accounts(self) -> Plan:
        """The plan an account starts on."""
        return self.get(is_default=True)


class Plan(models.Model):
    """What an account, or a guest, may use. A row per tier; changing a limit is an edit in the admin."""

    code = models.SlugField(max_length=32, unique=True)
    name = models.CharField(max_length=60)
    is_default = models.BooleanField("given to new accounts", default=False)
    is_for_guests = models.BooleanField("for visitors without an account", default=False)
    concurrent_runs = models.PositiveIntegerField("runs at the same time")
    runs_per_day = models.PositiveIntegerField("runs a day")
    address_runs_per_day = models.PositiveIntegerField(
        "runs a day of one address",
        default=1200,
        help_text="Visitors without an account only: all of one network address together, such as a class, may start "
        "so many runs and make so many projects in 24 hours. Each browser of theirs has the runs a day above.",
    )
    cpu_seconds = models.PositiveIntegerField("CPU seconds a run")
    wall_seconds = models.PositiveIntegerField("seconds a run may last")
    memory_mb = models.PositiveIntegerField("memory, MB")
    disk_mb = models.PositiveIntegerField("disk, MB")
    output_kb = models.PositiveIntegerField("text output, KB")
    processes = models.PositiveIntegerField("processes and threads")
    cores = models.FloatField("processor cores a run", default=1)
    parallel_boxes = models.PositiveIntegerField(
        "further boxes a run", default=0, help_text="How many boxes qfp.pmap may use elsewhere at a time; 0 is none."
    )
    max_projects = models.PositiveIntegerField("projects")
    sessions = models.PositiveIntegerField("live sessions", default=1)
    session_idle_minutes = models.PositiveIntegerField("minutes a session waits without use", default=15)
    queue = models.CharField(
        max_length=20,
        choices=(("runs", "usual"), ("large", "large")),
        default="runs",
        help_text="Where its runs go; SANDBOX_BACKEND says who makes the boxes of each.",
    )
    gpu_seconds_per_day = models.PositiveIntegerField(
        "GPU seconds a day", default=0, help_text="0 is no GPU. A run counts from the start of its program to its end."
    )

    dataset_mb = models.PositiveIntegerField(
        "MB of own datasets", default=0, help_text="All versions together, as stored; 0 is no uploads."
    )
    max_datasets = models.PositiveIntegerField("datasets", default=0)
    dataset_versions = models.PositiveIntegerField("versions of a dataset", default=0)
    fetches_per_run = models.PositiveIntegerField(
        "series a run may fetch",
        default=20,
        help_text="Series that a run may fetch from providers because its snapshot lacks them; 0 is none.",
    )

    objects = PlanQuerySet.as_manager()

    class Meta:
        ordering = ("cpu_seconds", "code")
        constraints = (
            models.UniqueConstraint(
                fields=("is_default",), condition=models.Q(is_default=True), name="one_plan_for_new_accounts"
            ),
            models.UniqueConstraint(
                fields=("is_for_guests",), condition=models.Q(is_for_guests=True), name="one_plan_for_guests"
            ),
            models.CheckConstraint(
                condition=models.Q(
                    concurrent_runs__gt=0,
                    cpu_seconds__gt=0,
                    wall_seconds__gt=0,
                    memory_mb__gt=0,
                    disk_mb__gt=0,
                    output_kb__gt=0,
                    processes__gt=0,
                    session_idle_minutes__gt=0,
                ),
                name="plan_limits_above_zero",
            ),
            models.CheckConstraint(condition=models.Q(cores__gt=0), name="plan_cores_above_zero"),
        )

    def __str__(self) -> str:
        return self.name


class AccountManager(UserManager["User"]):
    """Makes and finds accounts; usernames and addresses compare without regard to case."""

    def get_by_natural_key(self, username: str | None) -> User:
        return self.get(username=(username or "").lower())


class User(AbstractBaseUser, PermissionsMixin):
    """An account. username stands in /p/<username>/... and is always lower case; email signs in."""

    username = models.CharField(
        max_length=USERNAME_MAX_LENGTH,
        unique=True,
        validators=[validate_username],
        help_text="Part of your projects' addresses. Letters a-z, digits and single hyphens.",
        error_messages={"unique": "That name is taken. Choose another one."},
    )
    email = models.EmailField("email address")
    display_name = models.CharField("display name", max_length=80, blank=True)
    # True when another account used the same address first. Sign-up answers alike for known and unknown
    # addresses and signs in at once, so two accounts may claim one until its owner confirms it for one.
    email_disputed = models.BooleanField(default=False, editable=False)
    plan = models.ForeignKey(Plan, on_delete=models.PROTECT, related_name="users")
    is_staff = models.BooleanField("staff", default=False, help_text="May enter the administration site.")
    is_active = models.BooleanField("active", default=True, help_text="Untick to lock the account out.")
    created = models.DateTimeField(default=timezone.now, editable=False)

    objects = AccountManager()

    USERNAME_FIELD = "username"
    EMAIL_FIELD = "email"
    REQUIRED_FIELDS = ["email"]

    class Meta:
        ordering = ("username",)
        constraints = (
            models.UniqueConstraint(Lower("username"), name="username_unique_without_case"),
            models.UniqueConstraint(
                Lower("email"),
                condition=models.Q(email_disputed=False) & ~models.Q(email=""),
                name="email_unique_without_case",
                violation_error_message="An account with this address exists already.",
            ),
        )

    def __str__(self) -> str:
        return self.username

    def save(self, *args, **kwargs) -> None:
        self.username = self.username.lower()
        self.email = self.email.lower()
        if self.plan_id is None:
            self.plan = Plan.objects.for_new_accounts()
        super().save(*args, **kwargs)
        if not self.is_active:
            self.access_tokens.all().delete()  # unlocking the account later brings none of them back

    def clean(self) -> None:
        super().clean()
        self.username = self.username.lower()
        self.email = self.email.strip().lower()

    def get_full_name(self) -> str:
        return self.display_name or self.username

    def get_short_name(self) -> str:
        return self.get_full_name()

    def get_absolute_url(self) -> str:
        return reverse("accounts:profile")

    @property
    def unverified_email(self) -> str:
        """The address that waits to be confirmed, for the banner; "" when one is confirmed."""
        addresses = list(self.emailaddress_set.all())
        if any(address.verified for address in addresses):
            return ""
        return addresses[-1].email if addresses else self.email

    @property
    def has_verified_email(self) -> bool:
        """Whether an address of this account was confirmed by its owner; publishing asks for it."""
        return self.emailaddress_set.filter(verified=True).exists()


class AccessTokenQuerySet(models.QuerySet["AccessToken"]):
    def working(self) -> AccessTokenQuerySet:
        """Those that open something now."""
        in_time = models.Q(expires__isnull=True) | models.Q(expires__gt=timezone.now())
        return self.filter(in_time, user__is_active=True)


class AccessToken(models.Model):
    """With it a program reads what its owner may read, or also runs it. Of the token only the SHA-256 is kept."""

    class Scope(models.TextChoices):
        READ = "read", "Read"
        RUN = "read+run", "Read and run"

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="access_tokens")
    name = models.CharField(max_length=60)
    start = models.CharField(max_length=12, unique=True, help_text="Its first characters, by which it is found.")
    sha256 = models.CharField("SHA-256", max_length=64)
    scope = models.CharField(max_length=8, choices=Scope)
    created = models.DateTimeField(default=timezone.now, editable=False)
    expires = models.DateTimeField(null=True, blank=True)
    last_used = models.DateTimeField(null=True, blank=True, help_text="To the hour.")

    objects = AccessTokenQuerySet.as_manager()

    class Meta:
        ordering = ("-created", "-pk")
        constraints = (models.UniqueConstraint(fields=("user", "name"), name="access_token_name_unique_of_a_user"),)

    def __str__(self) -> str:
        return f"{self.name} ({self.start}…)"

    @property
    def has_expired(self) -> bool:
        return self.expires is not None and self.expires <= timezone.now()

    @property
    def may_run(self) -> bool:
        return self.scope == self.Scope.RUN
