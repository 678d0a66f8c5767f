"""What does every page need to know? How the reader wants it to look."""

from django.http import HttpRequest

THEMES = {"auto": "System", "light": "Light", "dark": "Dark", "contrast": "High contrast"}
GAINS = {"blue-up": "Blue up", "green-up": "Green up", "red-up": "Red up"}


def theme(request: HttpRequest) -> dict[str, object]:
    """The chosen theme from its cookie: the server writes it into <html>, so nothing flashes."""
    chosen = request.COOKIES.get("theme", "auto")
    gains = request.COOKIES.get("gains", "blue-up")
    return {
        "theme": chosen if chosen in THEMES else "auto",
        "themes": THEMES,
        "gains": gains if gains in GAINS else "blue-up",
        "gains_choices": GAINS,
    }
