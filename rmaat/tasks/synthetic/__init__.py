"""Generated tasks of the literature on sequence memory: association, MAD, time constants. Imports `dataset`."""
