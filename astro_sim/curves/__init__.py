"""The bridge: functional forms, fits, and the curve file that carries a fit to the network.

Imports no other room, no Brian2 and no PyTorch.
"""
