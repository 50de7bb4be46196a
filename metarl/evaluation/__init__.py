"""How fast a run adapts in tasks that it was never trained on: adaptation curves, statistics and their files."""
