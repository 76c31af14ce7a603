"""What a person asks of a run, one file per command: ``python -m cspine <command>``."""
