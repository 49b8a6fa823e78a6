"""The same trace with real nodes: processes in networks of their own, whose cables follow the contacts."""
