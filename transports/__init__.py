"""Links and radios: whole records in order, until the link breaks.

Read in this order: `link`, `framing`, `memory`, `tcp_link`, `listening`, `tcp`, `dialling`, `lan`, `specs`.
Nothing here knows what a record says or who is at the other end: only keys prove that.
"""

# The mark by which `import beepmesh` knows that this `transports` is ours and not a stranger's.
BEEPMESH_PACKAGE = True
