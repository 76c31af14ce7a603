"""One file per stage: a function named like its rule, paths in, paths out, one typed config block."""
