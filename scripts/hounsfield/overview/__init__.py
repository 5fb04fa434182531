"""A page of the cohort before anything is trained on it: every volume as the networks see it."""
