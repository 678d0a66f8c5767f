"""Which parameters hold up? A strategy or a function tried with many of them; start reading at sweeping.sweep()."""
