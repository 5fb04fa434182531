"""A first configuration, found in a folder of volumes and the tables that come with it."""
