#!/usr/bin/env python
"""Django's command line for this site: python manage.py <command>."""

from __future__ import annotations

import os
import sys


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "playground.settings")
    try:
        from django.conf import settings
        from django.core.exceptions import ImproperlyConfigured
        from django.core.management import execute_from_command_line
    except ImportError:
        sys.exit("Django is not installed in this Python. Run `make setup` and use .venv/bin/python manage.py.")
    try:
        _ = settings.DEBUG
    except ImproperlyConfigured as problem:
        # An environment variable of the operator's: the sentence names it, a traceback would bury it.
        sys.exit(str(problem))
    execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
