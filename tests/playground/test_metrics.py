"""Figures for monitoring: complete with the token, not there without it."""

from __future__ import annotations

import pytest

from accounts.models import Plan
from playground.health import together
from runner import sandbox_state

TOKEN = "a token of the operators"


@pytest.mark.django_db
def test_who_has_the_token_gets_the_engines_figures_and_the_queues(client, settings, engine) -> None:
    settings.METRICS_TOKEN = TOKEN
    answer = client.get("/metrics", headers={"authorization": f"Bearer {TOKEN}"})
    assert answer.status_code == 200
    text = answer.content.decode()
    assert 'playground_engine_ready{engine="runs"} 1\n' in text
    assert 'playground_queue_jobs{queue="runs"} 0\n' in text
    assert 'playground_data_bytes{kind="archive"} ' in text


@pytest.mark.parametrize(("token", "given"), [("", ""), ("", "Bearer "), (TOKEN, ""), (TOKEN, "Bearer guess")])
@pytest.mark.django_db
def test_nobody_else_learns_that_there_are_any(client, settings, token: str, given: str) -> None:
    settings.METRICS_TOKEN = token
    assert client.get("/metrics", headers={"authorization": given}).status_code == 404


@pytest.mark.django_db
def test_an_engine_that_is_away_is_a_figure_too(client, settings, tmp_path) -> None:
    settings.METRICS_TOKEN, settings.ENGINE_SOCKET = TOKEN, tmp_path / "nobody.sock"
    text = client.get("/metrics", headers={"authorization": f"Bearer {TOKEN}"}).content.decode()
    assert 'playground_engine_ready{engine="runs"} 0\n' in text


@pytest.mark.django_db
def test_every_engine_and_every_queue_has_figures_of_its_own(client, settings, engine, tmp_path) -> None:
    settings.METRICS_TOKEN, settings.ENGINE_SOCKETS = TOKEN, {"gpu": tmp_path / "nobody.sock"}
    text = client.get("/metrics", headers={"authorization": f"Bearer {TOKEN}"}).content.decode()
    assert 'playground_engine_ready{engine="runs"} 1\nplayground_engine_ready{engine="gpu"} 0\n' in text
    assert text.count("# TYPE playground_engine_ready gauge") == 1
    assert 'playground_queue_workers{queue="large"} 0\n' in text


def test_figures_of_several_engines_are_told_apart() -> None:
    about = "# HELP boxes Boxes.\n# TYPE boxes counter\n"
    assert together({"runs": f'{about}boxes{{start="fork"}} 2\n', "gpu": f"{about}boxes 1\n"}) == (
        f'{about}boxes{{engine="runs",start="fork"}} 2\nboxes{{engine="gpu"}} 1\n'
    )


@pytest.mark.django_db
def test_readyz_tells_of_queues_beside_the_usual_one_and_does_not_fail_for_them(client, settings, tmp_path) -> None:
    Plan.objects.filter(name="Free").update(queue="large")
    settings.ENGINE_SOCKETS = {"gpu": tmp_path / "nobody.sock"}
    answer = client.get("/readyz").json()
    assert answer["queues"] == {"gpu": {"worker": False, "engine": False}, "large": {"worker": False}}
    assert answer["ready"] == all(answer["parts"].values())


@pytest.mark.django_db
def test_a_run_is_refused_for_the_engine_that_would_run_it_and_no_other(settings, engine, tmp_path) -> None:
    settings.ENGINE_SOCKETS = {"large": tmp_path / "nobody.sock"}
    assert sandbox_state.current() == sandbox_state.SandboxState(True)
    assert "restarted" in sandbox_state.current("large").reason
    assert sandbox_state.current("gpu") == sandbox_state.SandboxState(True)  # another machine's
