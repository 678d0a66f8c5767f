"""What the site remembers of written and executed code, by what it is about."""

from runner.models.backtests import Attempt, Backtest, FoundLeak, PastProgram, PastTrial, Report, TradedAlike
from runner.models.packages import PackageLock
from runner.models.projects import ENTRY, GUEST_DAYS, MAX_SOURCE_BYTES, MOST_ANCESTORS, Project, Revision
from runner.models.runs import GPU, Artefact, Run
from runner.models.sessions import Session
from runner.models.sweeps import Sweep, Trial

__all__ = [
    "ENTRY",
    "GPU",
    "GUEST_DAYS",
    "MAX_SOURCE_BYTES",
    "MOST_ANCESTORS",
    "Artefact",
    "Attempt",
    "Backtest",
    "FoundLeak",
    "PackageLock",
    "PastProgram",
    "PastTrial",
    "Project",
    "Report",
    "Revision",
    "Run",
    "Session",
    "Sweep",
    "TradedAlike",
    "Trial",
]
