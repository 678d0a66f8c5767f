"""How does the site adjust prices? By qfp.adjustment, the code that boxes and laptops run: one path, one
result.
"""

from qfp.adjustment import adjust, factors

__all__ = ["adjust", "factors"]
