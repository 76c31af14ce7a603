"""What a run will take, before it is begun: measured on a rehearsal of it on this machine (``snakemake plan``)."""
