"""A view is a named form of the pixels: windowed, resized, encoded.

windows       Hounsfield units -> grey levels of a fixed size
study_rows    a study -> its rows of the cache, in a worker process of ``ingest``
study_sizes   a few slices of a study -> what they would take, in a worker process of ``plan_cache``
size_samples  a sample of the data set's slices, which a size plan is made from
size_plans    the encoding that fits the budget
fields        a square of a slice; crop_places, crop_jobs and crop_rows make the view ``crop`` of it
stacks        a study as a regular stack; resampling, volumes and volume_rows make the view ``volume`` of it
shard_rows    what a study gives to a shard of these two, and its writing
"""
