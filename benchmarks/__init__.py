"""Speed and memory, as ratios against the oracle in the same run."""
