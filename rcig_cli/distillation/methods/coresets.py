"""Coresets: some real images of each class, chosen and not learned (`distillation.coresets` has the rules).

All but ``random`` compare the features of a network that was trained on all real images.
"""

from rcig_cli.distillation.coresets import herding, k_center, nearest_to_k_means, pick_random
from rcig_cli.distillation.methods.method import Method
from rcig_cli.distillation.settings import FeatureSettings, MethodSettings

RANDOM = Method(
    name="random",
    title="real images at random",
    reference=None,
    settings=MethodSettings,
    metrics=(),
    pick=pick_random,
)

HERDING = Method(
    name="herding",
    title="real images whose mean features are those of their class",
    reference="Welling: Herding Dynamical Weights to Learn, ICML 2009",
    settings=FeatureSettings,
    metrics=(),
    pick=herding,
)

K_CENTER = Method(
    name="k-center",
    title="real images far from each other",
    reference="Sener, Savarese: Active Learning for Convolutional Neural Networks: A Core-Set Approach, "
    "ICLR 2018",
    settings=FeatureSettings,
    metrics=(),
    pick=k_center,
)

K_MEANS = Method(
    name="k-means",
    title="real images nearest to the centres of clusters",
    reference=None,
    settings=FeatureSettings,
    metrics=(),
    pick=nearest_to_k_means,
)
