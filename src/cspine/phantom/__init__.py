"""The synthetic data set: a neck CT in exactly the layout of the Kaggle folder."""
