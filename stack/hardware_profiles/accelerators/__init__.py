"""Accelerators by whoever answers for them: a maker's library or tool where there is one, else the PCI bus."""
