"""What a run did, and where its numbers come from: trace, figures and the report page.

Imports `training`.
"""
