"""What can go wrong when data is asked for? Every error says why, and what to do."""

from __future__ import annotations

from datetime import datetime


class DataError(Exception):
    """Data could not be given; the sentence says why and what to do. Every error of this module is one."""


class UnknownSymbol(DataError):
    """No series of that name. `symbol` is what was asked for, `nearest` a list of the most similar names
    there are.
    """

    def __init__(self, symbol: str, nearest: list[str], sentence: str = "") -> None:
        self.symbol, self.nearest = symbol, nearest
        hint = f" Did you mean {in_words(nearest)}?" if nearest else ""
        super().__init__(
            sentence
            or f"There is no series {symbol!r} in the data you may read.{hint} data.search() lists what there is. If "
            "this program is somebody else's, the series may be private to its author: fetch it with your own key."
        )


class NoData(DataError):
    """The series exists but has nothing in the range or of the kind asked for."""


class MixedAdjustment(DataError):
    """Prices that were adjusted in different ways were asked for side by side."""


class NotEntitled(DataError):
    """The data exists, but not for whoever runs this: it is private, or the key does not cover it."""


class RateLimited(DataError):
    """The provider refuses for now. `retry_at` is the moment (UTC) from which it may be asked again, if it is known."""

    def __init__(self, sentence: str, retry_at: datetime | None = None) -> None:
        self.retry_at = retry_at
        super().__init__(sentence)


class QuotaExceeded(DataError):
    """The key's allowance, or that of your plan, is used up."""


class ProviderDown(DataError):
    """The provider does not answer."""


class BadResponse(DataError):
    """The provider answered with something that is no data."""


class StarterDataMissing(DataError):
    """This machine has no market data yet; the sentence says how to build the starter catalogue."""


class SurvivorshipWarning(UserWarning):
    """The members of a universe were chosen with hindsight, or nobody knows how."""


def in_words(names: list[str], word: str = "or") -> str:
    return f" {word} ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
