"""Pathfinder: the original generator of contours, drawn anew."""
