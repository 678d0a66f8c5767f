from django.urls import path

from community import views

app_name = "community"

urlpatterns = [
    path("explore", views.explore, name="explore"),
    path("u/<slug:user>", views.profile, name="profile"),
]
