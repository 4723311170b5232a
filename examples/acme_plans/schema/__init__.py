"""Schemas of the kinds of acme-plans: data only."""
