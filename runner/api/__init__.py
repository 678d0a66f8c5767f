"""What other programs may ask of the site, and by which tokens: access.py first."""
