"""Trained networks in the formats of other people's tools, each compared with the scores of the workflow."""
