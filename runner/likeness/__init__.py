"""Which programs are the same strategy written in another way? Start reading at alike.py."""
