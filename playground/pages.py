"""At which addresses are the pages that belong to no other app?"""

from django.urls import path

from playground import views

app_name = "playground"

urlpatterns = [
    path("", views.home, name="home"),
    path("theme", views.choose_theme, name="theme"),
    path("docs/", views.docs_page, name="docs"),
    path("docs/<path:page>", views.docs_page, name="docs-page"),
    path("styleguide/", views.styleguide, name="styleguide"),
]
