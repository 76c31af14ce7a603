"""A whole study at once: its slices as a cube, and what a 3D network is taught about it.

The only part that knows monai, which takes seconds to import, and, of augmentations, torchio.

cubes               slices -> cube -> slices
networks            the 3D networks that label voxels
loss                Dice and cross-entropy over the voxels that are known
augmentation        cube and labels, turned and mirrored together
found               a cube of probabilities -> what each slice shows
classifiers         the 3D networks that judge a study
study_examples      a study's volume and its labels
study_augmentation  a volume moved and disturbed
"""
