"""Pseudo-labels as pictures for a person: matrices of slices and vertebrae, and the most doubtful labels' slices."""
