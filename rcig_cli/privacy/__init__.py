"""Membership inference attacks on arrays of logits (NumPy and scikit-learn, no JAX).

``roc``      AUC, and true-positive rate at a low false-positive rate
``attacks``  five attacks, fitted on one half of the examples and tested on the other
``lira``     the likelihood-ratio attack, with shadow networks
"""
