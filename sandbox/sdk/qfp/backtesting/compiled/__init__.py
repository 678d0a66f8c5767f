"""How does next() run as machine code? The compiled tier of qfp.backtesting.

kernel.py is the account, with orders.py, fills.py and trades.py, in the small language of language.py; translation.py
brings a strategy's next() into the same language; machine.py makes both executable; tier.py runs them.
"""

from __future__ import annotations

from qfp.backtesting.compiled import machine
from qfp.backtesting.compiled.machine import Unavailable
from qfp.backtesting.compiled.tier import Program, program_of
from qfp.backtesting.compiled.translation import Refused

__all__ = ["Program", "Refused", "Unavailable", "program_of", "warm_up"]


def warm_up() -> None:
    """Have the account's machine code ready, for this process and those forked from it; nothing where it cannot be. A
    strategy is translated and run, too: the first one takes longer than those that follow.
    """
    from qfp.backtesting.compiled.example import compile_example

    try:
        machine.load(machine.functions_of("def nothing(a: Account) -> int:\n    return finish(a)\n"))
    except Unavailable:
        return
    compile_example()
