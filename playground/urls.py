"""Which page is at which address? The apps bring their own lists; here they meet."""

from __future__ import annotations

from django.contrib import admin
from django.urls import include, path

from playground import health, views

_own_pages = [
    path("", views.home, name="home"),
    path("showcase", views.showcase_state, name="showcase-state"),
    path("theme", views.choose_theme, name="choose-theme"),
    path("docs/", views.docs_page, name="docs"),
    path("docs/search", views.search_docs, name="search-docs"),
    path("docs/<path:page>", views.docs_page, name="docs-page"),
    path("styleguide/", views.styleguide, name="styleguide"),
    path("healthz", health.live, name="healthz"),
    path("readyz", health.ready, name="readyz"),
    path("metrics", health.metrics, name="metrics"),
]

urlpatterns = [
    path("", include((_own_pages, "playground"))),
    path("", include("accounts.urls")),
    path("", include("marketdata.urls")),
    path("", include("runner.urls")),
    path("", include("community.urls")),
    path("admin/", admin.site.urls),
    path("staff/queues/", include("django_rq.urls")),
]

handler500 = "playground.views.server_error"
