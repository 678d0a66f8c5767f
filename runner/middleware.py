"""What does a page answer whose project was deleted by somebody else meanwhile?"""

from __future__ import annotations

from django.http import Http404, HttpRequest
from django.utils.deprecation import MiddlewareMixin

from runner.models import Project


class DeletedMeanwhile(MiddlewareMixin):
    """Not found, like everything that was there once."""

    def process_exception(self, request: HttpRequest, exception: Exception) -> None:
        if isinstance(exception, Project.DoesNotExist):
            raise Http404("This project has been deleted.") from exception
