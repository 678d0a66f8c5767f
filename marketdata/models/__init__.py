"""The rows of market data, by what they are about; prices themselves are files (marketdata.store)."""

from marketdata.models.catalogue import Instrument, Series, Snapshot, Universe
from marketdata.models.datasets import Dataset, DatasetVersion, Upload
from marketdata.models.fetches import CredentialUse, Fetch, Provider, ProviderAgreement, ProviderCredential
from marketdata.models.quality import QualityIssue, Refresh, RefreshedSeries

__all__ = [
    "CredentialUse",
    "Dataset",
    "DatasetVersion",
    "Fetch",
    "Instrument",
    "Provider",
    "ProviderAgreement",
    "ProviderCredential",
    "QualityIssue",
    "Refresh",
    "RefreshedSeries",
    "Series",
    "Snapshot",
    "Universe",
    "Upload",
]
