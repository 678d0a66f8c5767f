"""Did a program know what was still to come? What its box found: checking.py. What the site finds: companions.py."""
