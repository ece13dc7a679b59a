"""What commands do: run loops, compilation, devices, checkpoints."""
