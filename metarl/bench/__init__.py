"""`metarl bench`: how much of the time goes into physics, as ratios within one run."""
