"""Networks, in Flax: each maps images to features, and its last layer maps features to logits.

``convnet``   the ConvNet of the data set distillation literature.
``layers``    the two layers whose derivatives are written by hand, for speed.
``network``   a body with a linear head: the value that everything else takes.
"""
