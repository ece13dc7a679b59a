"""Networks in Flax: a body maps images to features, a linear head maps features to logits.

``architectures``  the available networks by name, and `build_network`
``network``        `Network`, a body with a linear head: what the rest of the package uses
``chain``          bodies that are a sequence of blocks: the ConvNet, VGG-11, AlexNet
``resnet``         ResNet-18
``layers``         the block of a chain, with hand-written derivatives for speed
``norms``          batch, instance, layer and group norm
``own``            networks of the user's own
"""
