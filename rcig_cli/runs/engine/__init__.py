"""Compiled steps, devices, processes and randomness."""
