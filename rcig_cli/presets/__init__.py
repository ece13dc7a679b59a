"""The configuration of a distillation, and the paper's settings for its data sets."""
