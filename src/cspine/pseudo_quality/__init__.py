"""How good pseudo-labels are: by boxes that were not shown, and on the phantom by its truth."""
