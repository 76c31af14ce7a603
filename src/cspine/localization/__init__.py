"""Which vertebrae a slice shows, how much of each, and where: from masks, and learnt from them."""
