"""Membership inference attacks on networks trained on a distilled set."""
