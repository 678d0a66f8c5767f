"""What does a visitor search for? The words of ?q=, safe to set beside others on a page."""

from __future__ import annotations

from django.http import HttpRequest

MOST_CHARACTERS = 200


def question_of(request: HttpRequest) -> str:
    """Its words, one space between them. Signs that nobody sees go: those that turn the direction of writing would turn
    what stands beside them on the page.
    """
    asked = request.GET.get("q", "")
    return " ".join("".join(letter if letter.isprintable() else " " for letter in asked).split())[:MOST_CHARACTERS]
