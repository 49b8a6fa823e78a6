"""The mesh on a virtual clock: the product's own engine, sealing and store, on contacts that were recorded or drawn."""
