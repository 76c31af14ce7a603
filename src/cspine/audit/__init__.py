"""The audit of a data folder: numbers of every study, checks across tables, exclusions, and the page."""
