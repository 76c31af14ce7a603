"""Labels for the next round from this round's predictions: the fractured studies without boxes (system S3, step 3)."""
