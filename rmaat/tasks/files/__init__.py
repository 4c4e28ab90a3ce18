"""Tasks from your own files: rows of tables, tokenisers, series of numbers, and the task that they become.

Imports `tasks.dataset` and `tasks.text`.
"""
