"""Bundles: what links carry, in files that are carried by hand. Read records.py, chunks.py, sealing.py, choosing.py,
medium.py, exporting.py, importing.py; README.md gives the bytes."""
