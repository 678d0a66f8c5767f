"""Providers for the people who operate the site: the switch, entitlements, what was fetched, which keys were used."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest

from marketdata import credentials, provider_access
from marketdata.models import CredentialUse, Fetch, Provider, ProviderAgreement, ProviderCredential


class NothingByHand(admin.ModelAdmin):
    def has_add_permission(self, request: HttpRequest, *args: Any) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(Provider)
class ProviderAdmin(admin.ModelAdmin):
    """Only the switch is changed by hand."""

    list_display = ["name", "enabled", "health", "retry_at", "last_success", "last_failure"]
    list_editable = ["enabled"]
    readonly_fields = ["name", "health", "retry_at", "last_success", "last_failure", "last_error"]

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def get_queryset(self, request: HttpRequest) -> QuerySet[Provider]:
        provider_access.all_states()
        return super().get_queryset(request)


@admin.register(ProviderAgreement)
class ProviderAgreementAdmin(admin.ModelAdmin):
    """Entitlements are given here; consents are the person's own to give."""

    list_display = ["user", "provider", "kind", "given", "withdrawn"]
    list_filter = ["provider", "kind"]
    search_fields = ["user__username", "user__email"]
    autocomplete_fields = ["user"]
    fields = ["user", "provider", "kind", "terms", "withdrawn"]

    def formfield_for_choice_field(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        if db_field.name == "kind":
            kwargs["choices"] = [(ProviderAgreement.Kind.ENTITLEMENT, ProviderAgreement.Kind.ENTITLEMENT.label)]
        return super().formfield_for_choice_field(db_field, request, **kwargs)

    def has_change_permission(self, request: HttpRequest, obj: ProviderAgreement | None = None) -> bool:
        own = obj is not None and obj.kind == ProviderAgreement.Kind.CONSENT
        return not own and super().has_change_permission(request, obj)


@admin.register(ProviderCredential)
class ProviderCredentialAdmin(NothingByHand):
    list_display = ["user", "provider", "last4", "key_version", "created", "last_used", "revoked"]
    list_filter = ["provider", "key_version", "revoked"]
    search_fields = ["user__username", "user__email"]
    exclude = ["ciphertext"]
    actions = ["revoke"]

    @admin.action(description="Revoke the chosen keys", permissions=["revoke"])
    def revoke(self, request: HttpRequest, chosen: QuerySet[ProviderCredential]) -> None:
        for credential in chosen.filter(revoked=None):
            credentials.revoke(credential)
        messages.success(request, "The chosen keys open for no fetch any more.")

    def has_revoke_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("marketdata.delete_providercredential")


@admin.register(CredentialUse)
class CredentialUseAdmin(NothingByHand):
    list_display = ["at", "credential", "purpose", "outcome", "run"]
    list_filter = ["outcome", "credential__provider"]
    search_fields = ["credential__user__username", "purpose"]
    list_select_related = ["credential"]
    date_hierarchy = "at"


@admin.register(Fetch)
class FetchAdmin(NothingByHand):
    list_display = ["created", "provider", "symbol", "interval", "user", "status", "error", "attempts", "finished"]
    list_filter = ["status", "provider", "error"]
    search_fields = ["symbol", "user__username", "id"]
    list_select_related = ["user"]
    date_hierarchy = "created"
