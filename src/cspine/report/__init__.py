"""The report: what a run found, on one page."""
