# The inversions before the recessions of 2001 and 2008
assert {2000, 2006, 2007} <= set(inverted.index)
