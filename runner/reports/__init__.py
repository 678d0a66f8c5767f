"""How does a backtest of the site become a file that can be handed on? documents.py says what is in it."""
