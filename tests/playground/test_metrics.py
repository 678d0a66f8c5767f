"""Figures for monitoring: complete with the token, not there without it."""

from __future__ import annotations

import pytest

TOKEN = "a token of the operators"


@pytest.mark.django_db
def test_who_has_the_token_gets_the_engines_figures_and_the_queues(client, settings, engine) -> None:
    settings.METRICS_TOKEN = TOKEN
    answer = client.get("/metrics", headers={"authorization": f"Bearer {TOKEN}"})
    assert answer.status_code == 200
    text = answer.content.decode()
    assert "playground_engine_ready 1\n" in text
    assert 'playground_queue_jobs{queue="runs"} 0\n' in text


@pytest.mark.parametrize(("token", "given"), [("", ""), ("", "Bearer "), (TOKEN, ""), (TOKEN, "Bearer guess")])
@pytest.mark.django_db
def test_nobody_else_learns_that_there_are_any(client, settings, token: str, given: str) -> None:
    settings.METRICS_TOKEN = token
    assert client.get("/metrics", headers={"authorization": given}).status_code == 404


@pytest.mark.django_db
def test_an_engine_that_is_away_is_a_figure_too(client, settings, tmp_path) -> None:
    settings.METRICS_TOKEN, settings.ENGINE_SOCKET = TOKEN, tmp_path / "nobody.sock"
    text = client.get("/metrics", headers={"authorization": f"Bearer {TOKEN}"}).content.decode()
    assert "playground_engine_ready 0\n" in text
