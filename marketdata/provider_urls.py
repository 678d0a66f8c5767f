"""Addresses of providers, of people's keys for them, and of fetches."""

from django.urls import path

from marketdata import provider_views as views

urlpatterns = [
    path("data/providers/", views.provider_list, name="data_providers"),
    path("data/providers/<slug:name>", views.provider, name="provider"),
    path("data/providers/<slug:name>/fetch", views.begin_fetch, name="begin_fetch"),
    path("data/providers/<slug:name>/terms", views.agree, name="agree_to_terms"),
    path("data/fetches/<uuid:fetch>", views.fetch, name="fetch"),
    path("data/fetches/<uuid:fetch>/_state", views.fetch_state, name="fetch_state"),
    path("data/keys/", views.keys, name="data_keys"),
    path("data/keys/<slug:name>", views.enter_key, name="enter_key"),
    path("data/keys/<slug:name>/test", views.test_key, name="test_key"),
    path("data/keys/<slug:name>/revoke", views.revoke_key, name="revoke_key"),
]
