"""Where a network looks: maps, example scans, their pictures, and whether the maps point at the finding."""
