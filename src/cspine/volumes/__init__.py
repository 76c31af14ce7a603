"""A whole study at once: its slices as a cube, and what a 3D network is taught about it.

The only part that knows monai, which takes seconds to import.

cubes         slices -> cube -> slices
networks      the 3D networks
loss          Dice and cross-entropy over the voxels that are known
augmentation  cube and labels, turned and mirrored together
found         a cube of probabilities -> what each slice shows
"""
