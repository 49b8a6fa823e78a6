"""A node that is always on and can be reached by everybody: what `beepmesh hub` adds to `beepmesh run`.

Read `certificate`, `pages`, `journal`, then `serving`.
"""
