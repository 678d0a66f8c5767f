"""Addresses of one's own datasets and of those that others share, all below /data/mine/."""

from django.urls import path

from marketdata import upload_views as views

urlpatterns = [
    path("data/mine/", views.mine, name="data_mine"),
    path("data/mine/uploads", views.begin_upload, name="begin_upload"),
    path("data/mine/uploads/<uuid:upload>/", views.upload, name="upload"),
    path("data/mine/uploads/<uuid:upload>/_state", views.upload_state, name="upload_state"),
    path("data/mine/uploads/<uuid:upload>/pieces", views.add_piece, name="add_piece"),
    path("data/mine/uploads/<uuid:upload>/choices", views.choose, name="choose_reading"),
    path("data/mine/uploads/<uuid:upload>/discard", views.discard_upload, name="discard_upload"),
    path("data/mine/sets/<slug:name>/", views.dataset, name="dataset"),
    path("data/mine/sets/<slug:name>/<slug:action>", views.act_on_dataset, name="act_on_dataset"),
    path("data/mine/sets/<slug:name>/<int:number>/delete", views.delete_version, name="delete_version"),
    path("data/mine/sets/<slug:name>/<int:number>/original", views.original, name="original_file"),
    path("data/mine/sets/<slug:name>/<int:number>/csv", views.own_csv, name="own_csv"),
    path("data/mine/shared/", views.shared_list, name="shared_datasets"),
    path("data/mine/shared/<slug:user>/<slug:name>/", views.shared, name="shared_dataset"),
    path("data/mine/shared/<slug:user>/<slug:name>/<int:number>/csv", views.shared_csv, name="shared_csv"),
    path("data/mine/shared/<slug:user>/<slug:name>/<slug:action>", views.act_on_shared, name="act_on_shared"),
]
