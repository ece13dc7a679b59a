"""Networks, in Flax: each maps images to features, and its last layer maps features to logits.

``architectures``  the networks there are, by name
``network``        a body with a linear head: the value that everything else takes
``chain``          bodies that are a chain of blocks: the ConvNet, VGG-11, AlexNet
``resnet``         ResNet-18
``layers``         a chain's block, and what its derivatives are written by hand for: speed
``norms``          batch, instance, layer and group norm
"""
