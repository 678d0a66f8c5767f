"""Could what a box says of a backtest be true? Read by reading.py, followed by follow_one.py and follow_many.py.

Start at check_claim() in ../backtests.py, which asks these in turn.
"""
