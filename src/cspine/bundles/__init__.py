"""A bundle: all that predicting needs where neither the workflow nor the training data are.

layout      the names of its files
manifest    bundle.json: what is in it, digests, versions; a bundle is read and refused here
points      from which probability on a vertebra is called suspicious
seen        which studies its models learnt from, told without naming them
readme      the bundle's own README
needs       the libraries that predicting imports
unfit       which methods it cannot hold yet
"""
