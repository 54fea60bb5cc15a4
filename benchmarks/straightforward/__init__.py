"""The method as the paper states it, without tricks: what the benchmarks compare boxseg with.

Features upsampled to the size of the photo, loops over boxes, grid cells and bins, losses on full-size maps,
pydensecrf. Nothing of `boxseg.nn.pseudo`, `boxseg.nn.pooling`, `boxseg.nn.field` or `boxseg.nn.losses` is used;
tests/benchmarks checks that both give the same answers.

Source: Oh, Kim, Ham, "Background-Aware Pooling and Noise-Aware Loss", CVPR 2021, sections 3.1 to 3.3.
"""
