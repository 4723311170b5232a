"""Migrations of acme's kinds."""
