"""The data card of an exported set: what Hugging Face shows of it."""

from __future__ import annotations

from rcig_cli.data.exchange.outgoing import OutgoingSet

_CARD = """---
pretty_name: {dataset}, distilled
task_categories:
- image-classification
size_categories:
- {size}
tags:
- dataset-distillation
configs:
- config_name: default
  data_files:
  - split: train
    path: data/train-*
---

# {dataset}, distilled to {count} images

{count} synthetic images of {height} x {width} pixels with soft labels, {ipc} for each of {classes} classes.
They stand for the data set `{dataset}`: a network trained on them classifies its real images. Exported from
the run `{run}` by rcig, which distils data sets with convexified implicit gradients (RCIG, ICML 2023).

| column | |
|---|---|
| `image` | in natural colours, 8 bits a channel: to look at |
| `label` | its class |
| `soft_label` | {classes} floats: what to train towards, by mean squared error |
| `whitened` | {size_of_one} floats, `[{height}, {width}, {channels}]` in C order: what to train on |

Train on `whitened`, not on `image`: rounding to 8 bits and clipping lose some of what the set was optimised
for. Test images go through the same whitening first; `whitening.safetensors` has it and its inverse.
"""

_SIZES = ((1000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"))


def data_card(outgoing: OutgoingSet) -> str:
    """Return the card, in Markdown with a head in YAML."""
    count, height, width, channels = outgoing.images.shape
    classes = len(outgoing.class_names)
    return _CARD.format(
        dataset=outgoing.dataset,
        run=outgoing.run,
        count=count,
        ipc=count // classes,
        classes=classes,
        height=height,
        width=width,
        channels=channels,
        size_of_one=height * width * channels,
        size=next((name for most, name in _SIZES if count < most), "100K<n<1M"),
    )
