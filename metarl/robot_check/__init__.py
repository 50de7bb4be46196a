"""`metarl check`: a robot is examined before anything is trained on it."""
