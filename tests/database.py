"""How does the database get back to what a new installation has, after a test that really committed?

Django would empty every table and save each row again, most of a second for each such test. Here the rows lie beside
their tables, in a schema of their own, and two statements for each table bring back what differs.
"""

from __future__ import annotations

from django.db import OperationalError, connection, transaction
from django.test import TransactionTestCase

KEPT = "kept"
NEVER_CHANGED = {"django_migrations"}


def keep() -> None:
    """What is there now is what every such test will find; its end brings it back."""
    with connection.cursor() as cursor:
        tables = sorted(set(connection.introspection.table_names(cursor)) - NEVER_CHANGED)
        keys = {table: connection.introspection.get_primary_key_column(cursor, table) for table in tables}
        cursor.execute(f"CREATE SCHEMA {KEPT}")
        statements = [f"LOCK TABLE {', '.join(map(_quoted, tables))} IN ACCESS EXCLUSIVE MODE"]
        # For this transaction foreign keys are not looked at, so the order of tables does not matter.
        statements += ["SET LOCAL session_replication_role = replica"]
        for table in tables:
            name, kept = _quoted(table), f"{KEPT}.{_quoted(table)}"
            cursor.execute(f"SELECT EXISTS (SELECT FROM {name})")
            if not cursor.fetchone()[0]:
                statements += [f"DELETE FROM {name}"]
                continue
            cursor.execute(f"CREATE TABLE {kept} AS TABLE {name}")
            key = _quoted(keys[table])
            same = f"SELECT {key} FROM (TABLE {name} INTERSECT TABLE {kept}) AS same"
            statements += [f"DELETE FROM {name} WHERE {key} NOT IN ({same})"]
            statements += [f"INSERT INTO {name} (TABLE {kept} EXCEPT TABLE {name})"]

    def bring_back(case: TransactionTestCase) -> None:
        for left in (2, 1, 0):
            try:
                with transaction.atomic(), connection.cursor() as cursor:
                    cursor.execute(";\n".join(statements))
                return
            except OperationalError:  # a request or a job of the site that still ends wanted the tables otherwise round
                if not left:
                    raise

    TransactionTestCase._fixture_teardown = bring_back


def _quoted(name: str) -> str:
    return connection.ops.quote_name(name)
