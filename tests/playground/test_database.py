"""Connections serve one thread after the other, as long as they are whole."""

from __future__ import annotations

import threading

import psycopg
import pytest
from django.conf import settings
from django.db import DatabaseError, connection, transaction

from playground.database import base

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("services")]


def server_process() -> int:
    """The process of PostgreSQL that serves this thread's connection."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        return cursor.fetchone()[0]


def in_another_thread(action):
    found = []

    def work() -> None:
        try:
            found.append(action())
        finally:
            connection.close()

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    return found[0]


def test_a_connection_that_is_closed_serves_the_next_thread():
    first = in_another_thread(server_process)
    assert in_another_thread(server_process) == first


def test_connections_in_use_are_not_shared():
    mine = server_process()  # open from here on
    assert in_another_thread(server_process) != mine


def test_a_connection_that_was_cut_is_replaced():
    first = in_another_thread(server_process)
    with psycopg.connect(settings.SERVICES.database_url, autocommit=True) as postgres:
        postgres.execute("SELECT pg_terminate_backend(%s, 60000)", [first])
    assert in_another_thread(server_process) != first


def test_an_open_transaction_ends_with_its_thread():
    def leave_open() -> int:
        transaction.set_autocommit(False)
        with connection.cursor() as cursor:
            cursor.execute("CREATE TEMPORARY TABLE left_open (n int)")
        return server_process()

    first = in_another_thread(leave_open)
    assert in_another_thread(server_process) != first


def test_a_connection_whose_query_failed_serves_nobody_else():
    def fail() -> int:
        pid = server_process()
        with pytest.raises(DatabaseError), connection.cursor() as cursor:
            cursor.execute("SELECT no_such_column")
        return pid

    first = in_another_thread(fail)
    assert in_another_thread(server_process) != first


def test_connections_nobody_used_for_a_while_are_closed(monkeypatch):
    first = in_another_thread(server_process)
    monkeypatch.setattr(base, "KEPT_SECONDS", 0.0)
    in_another_thread(server_process)
    assert in_another_thread(server_process) != first
