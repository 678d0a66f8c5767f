"""Market data: bars, corporate actions, yield curves and factors, from the snapshot that this program runs
on.

On the site every run is pinned to a snapshot and reads the same bytes when it is run again. On a laptop the
starter catalogue is built once with `python -m qfp.starter`. Daily bars are dated by their trading day, without a
zone; bars within a day by the instant they begin, in UTC. Both ends of a range are included, missing values are NaN.
"""

from __future__ import annotations

from qfp.data.bars import actions, panel, prices
from qfp.data.errors import (
    BadResponse,
    DataError,
    MixedAdjustment,
    NoData,
    NotEntitled,
    ProviderDown,
    QuotaExceeded,
    RateLimited,
    StarterDataMissing,
    SurvivorshipWarning,
    UnknownSymbol,
)
from qfp.data.known import as_of, latest_at
from qfp.data.listing import info, search, snapshot
from qfp.data.tables import curve, dataset, factors, series
from qfp.data.universes import members, universe

__all__ = [
    "prices",
    "panel",
    "actions",
    "search",
    "info",
    "series",
    "dataset",
    "universe",
    "members",
    "as_of",
    "latest_at",
    "curve",
    "factors",
    "snapshot",
    "DataError",
    "UnknownSymbol",
    "NoData",
    "MixedAdjustment",
    "NotEntitled",
    "RateLimited",
    "QuotaExceeded",
    "ProviderDown",
    "BadResponse",
    "StarterDataMissing",
    "SurvivorshipWarning",
]
