"""Addresses of market data, all below /data/. Providers, keys and datasets bring their own lists."""

from django.urls import path

from marketdata import provider_urls, upload_urls, views

app_name = "marketdata"

urlpatterns = [
    path("data/", views.catalogue, name="catalogue"),
    path("data/compare", views.comparison, name="compare"),
    path("data/universes", views.universe_list, name="universes"),
    path("data/universes/<path:name>", views.universe, name="universe"),
    path("data/instruments/<path:name>", views.instrument, name="instrument"),
    path("data/remove/<path:name>", views.remove, name="remove"),
    path("data/bars/<path:name>", views.bars, name="bars"),
    path("data/csv/<path:name>", views.download, name="download"),
    *provider_urls.urlpatterns,
    *upload_urls.urlpatterns,
]
