"""Attacks on membership: arrays -> how well it is told who was in the data (numpy, scikit-learn).

roc.py         scores -> AUC, TPR at a small FPR
features.py    logits, classes -> what an attacker sees of an example
attacks.py     five attacks, each fitted on one half of the examples and judged on the other
lira.py        the likelihood-ratio attack, from shadow networks
"""
