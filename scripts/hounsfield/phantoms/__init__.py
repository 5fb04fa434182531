"""Synthetic chest CT with findings, written as a scanner would: the demo's cohort."""
