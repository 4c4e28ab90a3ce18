"""What does the astrocyte bring? One synaptic memory with rates from many sources, and baselines of equal state.

`grid` says what is compared, `stack` trains many runs of one structure at once, `schedule` carries out a grid in
several processes, `analysis` turns results into a table. May import what `experiments` may.
"""
