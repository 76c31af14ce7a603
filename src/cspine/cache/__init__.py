"""The slice cache: slices and blobs (``codecs``), files of them (``shards``), random access (``reading``)."""
