"""Distils BERT classifiers into smaller ones, in JAX.

Everything is reached through its module (`from jaxdistill.models import bert`); the package itself
imports nothing, so that a verb can refuse a wrong command line before JAX loads.
"""

__version__ = "0.1.0"
