"""The site's addresses. Every app brings its own."""

from django.contrib import admin
from django.urls import include, path

from playground import health, views

_site = [
    path("", views.home, name="home"),
    path("theme", views.choose_theme, name="choose-theme"),
    path("docs/", views.docs_page, name="docs"),
    path("docs/<path:page>", views.docs_page, name="docs-page"),
    path("styleguide/", views.styleguide, name="styleguide"),
    path("healthz", health.healthz, name="healthz"),
    path("readyz", health.readyz, name="readyz"),
]

urlpatterns = [
    path("", include((_site, "playground"))),
    path("", include("accounts.urls")),
    path("", include("runner.urls")),
    path("", include("community.urls")),
    path("admin/", admin.site.urls),
    path("staff/queues/", include("django_rq.urls")),
]
