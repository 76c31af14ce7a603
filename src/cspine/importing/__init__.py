"""Other people's CSVs and study folders in the layout of the competition: what ``cspine import`` is made of."""
