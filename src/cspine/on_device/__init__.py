"""A GPU that few CPU cores feed: what is done to a batch once it is there.

draws          numbers in 0..1, functions of (seed, pass, example): the same on every machine
parameters     what happens to each example, drawn as albumentations draws it
augmentation   batches of uint8 pixels, augmented by torch
equalising     CLAHE of batches
pixels         all slices of a training in the device's memory; whole studies for predicting
places         which of these a training uses
compiling      torch.compile

Imports nothing by itself.
"""
