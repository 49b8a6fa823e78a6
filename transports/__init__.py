"""Links and radios: whole records in order, until the link breaks. Read in this order: `link`, `framing`, `tcp`, `lan`.

Nothing here knows what a record says or who is at the other end: only keys prove that.
"""

BEEPMESH_PACKAGE = True  # The mark by which `import beepmesh` knows that this `transports` is ours and not a stranger's.
