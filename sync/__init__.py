"""What two nodes say when they meet. Read in this order: `ranges`, `logs`, `wire`, `session`, then
`events`, `names`, `peer`, `push`, of which a session is made; the protocol itself is in `README.md`.

Nothing here knows what an entry says, who a person is, or what a link is made of.
"""

BEEPMESH_PACKAGE = True  # The mark by which `import beepmesh` knows that this `sync` is ours and not a stranger's.
