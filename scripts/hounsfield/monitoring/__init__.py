"""How far a run has come, read from its logs while it goes on."""
