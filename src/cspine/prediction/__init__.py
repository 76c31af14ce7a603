"""Predicting studies with a bundle: no workflow, no training data, no cache on disk.

inputs      a path -> the studies to predict
listings    the files of a study as they are now
reading     a study -> the pixels its networks see, in a worker process
ensemble    pixels -> probabilities by every model of the bundle, and where in a slice they come from
results     one study's answer
answers     studies in, answers out: workers read while the networks compute
parts       finished answers kept on disk while others are under way
key_slices  pictures of the slices that a person should look at first
tables      predictions.parquet, triage.csv, findings.csv
page        triage.html
session     all of it, reading and computing at once, until done or out of time
"""
