"""What can staff see and change about accounts and plans?"""

from __future__ import annotations

from typing import Any

from allauth.account.decorators import secure_admin_login
from django.contrib import admin
from django.contrib.auth.admin import UserAdmin
from django.contrib.auth.forms import AdminUserCreationForm, UserChangeForm
from django.db.models import Count, QuerySet
from django.http import HttpRequest
from django.urls import NoReverseMatch, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from accounts.models import AccessToken, Plan, User

# Staff sign in where everybody does: throttled, and with their second factor.
admin.site.login = secure_admin_login(admin.site.login)
admin.site.site_header = "Quant Finance Playground"
admin.site.site_title = "Administration"


class AccountCreationForm(AdminUserCreationForm):
    class Meta(AdminUserCreationForm.Meta):
        model = User
        fields = ("username", "email")


class AccountChangeForm(UserChangeForm):
    class Meta(UserChangeForm.Meta):
        model = User


@admin.register(User)
class AccountAdmin(UserAdmin):
    form = AccountChangeForm
    add_form = AccountCreationForm
    list_display = (
        "username", "email", "display_name", "plan", "email_confirmed", "is_staff", "is_active", "created",
    )  # fmt: skip
    list_filter = ("plan", "is_staff", "is_active", "created")
    list_select_related = ("plan",)
    search_fields = ("username", "email", "display_name")
    ordering = ("-created",)
    date_hierarchy = "created"
    readonly_fields = ("created", "last_login", "links")
    autocomplete_fields = ("plan",)
    fieldsets = (
        (None, {"fields": ("username", "email", "display_name", "password", "links")}),
        ("Plan", {"fields": ("plan",)}),
        ("Rights", {"fields": ("is_active", "is_staff", "is_superuser", "groups", "user_permissions")}),
        ("Dates", {"fields": ("created", "last_login")}),
    )
    add_fieldsets = (
        (
            None,
            {
                "classes": ("wide",),
                "fields": ("username", "email", "usable_password", "password1", "password2"),
            },
        ),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[User]:
        return super().get_queryset(request).prefetch_related("emailaddress_set")

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        """With an account goes all that is its own, also what nobody may delete by itself."""
        shown, counts, _needed, protected = super().get_deleted_objects(objs, request)
        return shown, counts, set(), protected

    @admin.display(boolean=True, description="email confirmed")
    def email_confirmed(self, user: User) -> bool:
        return any(address.verified for address in user.emailaddress_set.all())

    @admin.display(description="belongs to this account")
    def links(self, user: User) -> SafeString:
        """Links by URL name, so this app knows nothing of the apps above it."""
        parts = SafeString("")
        for label, name, key in (
            ("Projects", "admin:runner_project_changelist", "owner__id__exact"),
            ("Runs", "admin:runner_run_changelist", "user__id__exact"),
            ("Addresses", "admin:account_emailaddress_changelist", "user__id__exact"),
            ("Sessions", "admin:usersessions_usersession_changelist", "user__id__exact"),
            ("Tokens", "admin:accounts_accesstoken_changelist", "user__id__exact"),
        ):
            try:
                url = reverse(name)
            except NoReverseMatch:
                continue
            parts += format_html('<a href="{}?{}={}">{}</a> &nbsp; ', url, key, user.pk, label)
        return parts


@admin.register(AccessToken)
class AccessTokenAdmin(admin.ModelAdmin):
    """To look at and to delete; people make them themselves."""

    list_display = ("start", "user", "name", "scope", "created", "expires", "last_used")
    list_filter = ("scope",)
    list_select_related = ("user",)
    search_fields = ("start", "user__username")
    exclude = ("sha256",)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: AccessToken | None = None) -> bool:
        return False


@admin.register(Plan)
class PlanAdmin(admin.ModelAdmin):
    list_display = (
        "name", "code", "is_default", "is_for_guests", "concurrent_runs", "runs_per_day", "cpu_seconds",
        "wall_seconds", "memory_mb", "disk_mb", "output_kb", "processes", "cores", "parallel_boxes",
        "gpu_seconds_per_day", "max_projects",
        "accounts",
    )  # fmt: skip
    list_filter = ("is_default", "is_for_guests")
    search_fields = ("name", "code")
    fieldsets = (
        (None, {"fields": ("name", "code", "is_default", "is_for_guests")}),
        (
            "How much",
            {
                "fields": (
                    "concurrent_runs",
                    "runs_per_day",
                    "address_runs_per_day",
                    "gpu_seconds_per_day",
                    "max_projects",
                    "sessions",
                    "session_idle_minutes",
                    "dataset_mb",
                    "max_datasets",
                    "dataset_versions",
                    "fetches_per_run",
                )
            },
        ),
        (
            "One run",
            {
                "fields": (
                    "cpu_seconds",
                    "wall_seconds",
                    "memory_mb",
                    "disk_mb",
                    "output_kb",
                    "processes",
                    "cores",
                    "parallel_boxes",
                    "queue",
                )
            },
        ),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Plan]:
        return super().get_queryset(request).annotate(user_count=Count("users"))

    @admin.display(ordering="user_count")
    def accounts(self, plan: Plan) -> SafeString:
        url = reverse("admin:accounts_user_changelist")
        return format_html('<a href="{}?plan__id__exact={}">{}</a>', url, plan.pk, plan.user_count)
