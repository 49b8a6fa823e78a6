"""The main job, shown in one terminal with real processes. Read in this order: `hosts`, then the play itself."""
