"""Addresses of projects (/p/…, a guest's /g/…) and runs (/r/…, for programs /api/v1/runs/…, for other sites' pages
/embed/r/… and /oembed).
"""

from django.urls import path, re_path

from runner import (
    embeds,
    exports,
    repeat_views,
    result_views,
    run_views,
    session_views,
    sharing_views,
    template_views,
    views,
)
from runner.api import runs as api_runs
from runner.api import views as api_views
from runner.sweeps import views as sweep_views

app_name = "runner"

# The same actions for an account's project and for a guest's.
_ACTIONS = [
    ("run", run_views.start, "start-run"),
    ("draft", views.save_draft, "save-draft"),
    ("save", views.save_revision, "save-revision"),
    ("settings", views.change_settings, "change-settings"),
    ("delete", views.delete_project, "delete-project"),
    ("_runs", run_views.run_list, "run-list"),
    ("sweep", sweep_views.sweep_form, "sweep-form"),
    ("session", session_views.session, "session"),
    ("session/cells", session_views.run_cells, "run-cells"),
    ("session/_variables", session_views.variables, "session-variables"),
    ("session/_data", session_views.data, "session-data"),
    ("session/<slug:action>", session_views.act, "act-on-session"),
]

# What the page of a run and the interface for programs both have.
_RUN, _API_RUN = "r/<uuid:run>", "api/v1/runs/<uuid:run>"

urlpatterns = [
    path("try", views.try_sample, name="try"),
    path("templates/", template_views.templates, name="templates"),
    path("templates/<slug:slug>/copy", template_views.copy_template, name="copy-template"),
    path("dashboard", views.dashboard, name="dashboard"),
    path("new", views.new_project, name="new-project"),
    path("new/with-data", views.new_with_data, name="new-with-data"),
    path("p/<slug:user>/<slug:slug>", views.project, name="project"),
    path("p/<slug:user>/<slug:slug>/edit", views.workspace, name="workspace"),
    path("p/<slug:user>/<slug:slug>/copy", sharing_views.copy_project, name="copy-project"),
    path("g/<slug:token>", views.workspace, name="guest-workspace"),
    *(path(f"p/<slug:user>/<slug:slug>/{end}", view, name=name) for end, view, name in _ACTIONS),
    *(path(f"g/<slug:token>/{end}", view, name=f"guest-{name}") for end, view, name in _ACTIONS),
    path("r/<uuid:run>", run_views.run_page, name="run"),
    path("r/<uuid:run>/_status", run_views.run_status, name="run-status"),
    path("r/<uuid:run>/_claims", run_views.run_claims, name="run-claims"),
    path("r/<uuid:run>/events", run_views.run_events, name="run-events"),
    path("r/<uuid:run>/cancel", run_views.cancel, name="cancel-run"),
    path("r/<uuid:run>/again", run_views.again, name="run-again"),
    path("r/<uuid:run>/input", run_views.send_input, name="send-input"),
    path("r/<uuid:run>/files/<int:artefact>", run_views.artefact, name="artefact"),
    path("r/<uuid:run>/manifest.json", run_views.manifest, name="manifest"),
    path("r/<uuid:run>/manifest", repeat_views.verification, name="verification"),
    path("r/<uuid:run>/compare", repeat_views.choose_compared, name="choose-compared"),
    path("runs/compare", repeat_views.compare_two, name="compare-two"),
    path("runs/<uuid:run>/compare/<uuid:other>/", repeat_views.compare, name="compare"),
    path("r/<uuid:run>/sweep", sweep_views.sweep_page, name="sweep"),
    path("r/<uuid:run>/sweep/use", sweep_views.use_values, name="use-values"),
    path("r/<uuid:run>/sweep/walk-forward", sweep_views.walk_forward, name="walk-forward"),
    path("r/<uuid:run>/sweep/go-on", sweep_views.go_on, name="go-on"),
    path("r/<uuid:run>/sweep/<int:sweep>/trials.csv", sweep_views.trials_csv, name="trials-csv"),
    path("r/<uuid:run>/backtests/<int:position>", result_views.backtest_page, name="backtest"),
    path("r/<uuid:run>/backtests/<int:position>/_claims", result_views.claims, name="backtest-claims"),
    path("r/<uuid:run>/backtests/<int:position>/charts/<slug:key>", result_views.chart_points, name="chart-points"),
    path("r/<uuid:run>/backtests/<int:position>/reports", result_views.make_report, name="make-report"),
    path("r/<uuid:run>/backtests/<int:position>/_reports", result_views.report_list, name="report-list"),
    path("r/<uuid:run>/backtests/<int:position>/reports/<int:report>", result_views.report, name="report"),
    path("api/v1/projects/<slug:user>/<slug:slug>/runs", api_runs.start, name="api-start-run"),
    path("api/v1/runs/<uuid:run>", api_views.run, name="api-run"),
    path("api/v1/runs/<uuid:run>/cancel", api_runs.cancel, name="api-cancel-run"),
    path("api/v1/runs/<uuid:run>/backtests/<int:position>", api_views.backtest, name="api-backtest"),
    *(
        path(f"{place}/backtests/<int:position>/report.{form}", view, {"form": form}, name=f"{name}report-{form}")
        for form in ("pdf", "html")
        for place, view, name in ((_RUN, result_views.report_now, ""), (_API_RUN, api_views.report, "api-"))
    ),
    *(
        path(
            f"{place}/backtests/<int:position>/{kind}.{form}",
            view,
            {"kind": kind, "form": form},
            name=f"{name}{kind}-{form}",
        )
        for kind in exports.KINDS
        for form in ("csv", "parquet")
        for place, view, name in ((_RUN, result_views.export, ""), (_API_RUN, api_views.export, "api-"))
    ),
    re_path(r"^api(?:/[\s\S]*)?$", api_views.unknown, name="api-unknown"),
    path("frame", run_views.frame, name="frame"),
    path("embed/r/<uuid:run>", embeds.embed, name="embed"),
    path("oembed", embeds.oembed, name="oembed"),
]
